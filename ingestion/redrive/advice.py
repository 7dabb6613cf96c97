"""What an operator can try, by reason. Data only; the commands are those of `tidemark quarantine redrive`."""

from typing import Final

from ingestion.contracts.reasons import Reason

_SET = "--set FIELD=VALUE gives the field, --rename OLD=NEW moves it from another name"
_AS_IT_IS = "redrive without a fix"
_STAMPS = f"{_AS_IT_IS}: the stamps are made anew from the body"
_CONSUMER = "the event itself is not in quarantine: a consumer could not handle it"
_SYNTAX = "no field can be repaired in what is not readable; its sender must send it again"

ADVICE: Final[dict[Reason, str]] = {
    Reason.MALFORMED_JSON: _SYNTAX,
    Reason.DUPLICATE_KEY: "nobody can tell which of the two was meant; its sender must send it again",
    Reason.INVALID_UTF8: _SYNTAX,
    Reason.NOT_FINITE_NUMBER: _SYNTAX,
    Reason.NUMBER_OUT_OF_RANGE: _SYNTAX,
    Reason.TOO_DEEP: _SYNTAX,
    Reason.NOT_AN_OBJECT: _SYNTAX,
    Reason.MISSING_FIELD: _SET,
    Reason.INVALID_FIELD: "--set FIELD=VALUE, --cast FIELD=integer (or a time format), or --drop FIELD where it may be absent",
    Reason.UNKNOWN_FAMILY: "--family FAMILY says which contract judges; a row of an import: --fix with its mapping",
    Reason.OCCURRED_IN_FUTURE: "--drop the time where it is a wrong clock's: the event then occurred when it was received",
    Reason.BEFORE_FIRST_DAY: "--cast FIELD=epoch_seconds where the unit was wrong, or --drop the time",
    Reason.WRONG_APP: "--drop app_id where the key is right: the event then belongs to the key's app",
    Reason.KEY_REQUIRED: "--drop app_id, or its sender sends it again with the app's key",
    Reason.UNKNOWN_VARIANT: f"register the variant (PUT /experiments/ID), then {_AS_IT_IS}",
    Reason.BODY_TOO_LARGE: f"raise TIDEMARK_INGESTION_SINGLE_BODY_MAX_BYTES, then {_AS_IT_IS}; one over 1 MiB was cut",
    Reason.MALFORMED_ROW: "import the file again with a mapping that fits",
    Reason.UNKNOWN_SCHEMA: f"register the schema, then {_AS_IT_IS}",
    Reason.MALFORMED_AVRO: "its sender must send it again",
    Reason.MISSING_HEADER: f"{_STAMPS}; --as-app APP where it names no app",
    Reason.EMPTY_VALUE: "there is nothing to recover",
    Reason.UNKNOWN_CONTRACT: _STAMPS,
    Reason.BAD_OCCURRED_AT: _STAMPS,
    Reason.BAD_RECEIVED_AT: _STAMPS,
    Reason.NULL_KEY: _STAMPS,
    Reason.UNSTORABLE: _CONSUMER,
    Reason.HANDLER_FAILED: _CONSUMER,
}


def advice_for(reason: str) -> str:
    """What to try for a reason, with or without a field's name behind it."""
    code = reason.partition(":")[0]
    return next((text for known, text in ADVICE.items() if known.value == code), "see docs/quarantine.md")
