"""CloudEvents that carry an event of a contract of ours: `dataschema` or `type` names it, `data` is the event.

Such an event is judged, kept and counted as if its `data` had come by the family's own address: the envelope is transport, as a batch's
brackets are. Its `source` and `id` are the event's id where `data` has none, so that a repeated envelope counts once.
"""

from typing import Any

import msgspec

from ingestion.contracts.families import OWN_FAMILIES, FamilyRule, only
from ingestion.contracts.reasons import Reason
from ingestion.contracts.registry import CONTRACTS, Contract
from ingestion.contracts.strict_json import StrictJsonError, decode
from ingestion.contracts.validation import Rejection, Validator, Verdict

# `dataschema` must be an absolute URI; records in Kafka, and whoever passes their headers on, say the bare name.
URI_PREFIX = "tidemark:"
_CARRIED = {name: contract for name, contract in CONTRACTS.items() if contract.family in OWN_FAMILIES}
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Named(msgspec.Struct):
    dataschema: Any = None
    type: Any = None


_decode_named = msgspec.json.Decoder(_Named).decode


class CarriedJudge:
    """Judges CloudEvents; `chosen` is the contract that the sender holds all events of its request to."""

    def __init__(self, validator: Validator, chosen: Contract | None) -> None:
        self._validator = validator
        self._chosen = chosen

    def judge(self, raw: bytes, family_rule: FamilyRule) -> Verdict:
        """The verdict on the event that it carries, else on the CloudEvent itself."""
        names = carried_contracts(raw)
        if not names:
            return self._validator.judge_fully(raw, family_rule, self._chosen)
        try:
            decode(raw)
        except StrictJsonError:
            return self._validator.judge_fully(raw, family_rule)
        members = _decode_members(raw)
        outer = self._validator.judge_fully(_envelope(members), family_rule)
        if isinstance(outer, Rejection):
            return outer
        contract = names[0]
        if len(names) > 1 or self._chosen not in (None, contract):
            asked = {found.name for found in (*names, self._chosen) if found is not None}
            return Rejection(Reason.UNKNOWN_CONTRACT, f"several contracts are named: {', '.join(sorted(asked))}")
        if contract.is_retired:
            return Rejection(Reason.UNKNOWN_CONTRACT, f"{contract.name} is not taken any more")
        if "data" not in members or "data_base64" in members:
            return Rejection(Reason.MISSING_FIELD, f"an event of {contract.name} is the JSON in data", outer.event_id)
        inner = self._validator.judge_fully(bytes(members["data"]), only(contract.family), contract)
        inner.kept = bytes(members["data"])
        if isinstance(inner, Rejection):
            inner.message = f"data, by {contract.name}: {inner.message}"
        elif inner.event_id is None:
            inner.event_id = outer.event_id
        return inner


def carried_contracts(raw: bytes) -> list[Contract]:
    """The contracts of ours that an event names, each once; none when it is not to be read."""
    try:
        named = _decode_named(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    schema = named.dataschema.removeprefix(URI_PREFIX) if isinstance(named.dataschema, str) else ""
    kind = named.type if isinstance(named.type, str) else ""
    return [_CARRIED[name] for name in dict.fromkeys((schema, kind)) if name in _CARRIED]


def _envelope(members: dict[str, msgspec.Raw]) -> bytes:
    """The event without what it carries, nor the name of its contract, which is known."""
    carried = ("data", "data_base64", "dataschema")
    return msgspec.json.encode({name: value for name, value in members.items() if name not in carried})
