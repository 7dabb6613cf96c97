"""Fuzzes the judging of events and the splitting of batches against the reference, by atheris (libFuzzer).

`python -m tests.fuzz.decoder [libFuzzer's options] NEW_INPUTS_FOLDER tests/fuzz/corpus`: exit status 0 when nothing was found. An input
that was found is written to `crash-…`: put it into tests/fuzz/corpus, where every run of the tests checks it.

An odd first byte makes JSON-like text of pieces, an even one takes the rest as it is: mutated bytes alone are nearly always refused for
their syntax.
"""

import json
import sys
from datetime import UTC, date, datetime

import atheris

with atheris.instrument_imports(include=["ingestion"]):  # type: ignore[attr-defined]  # made at run time
    from ingestion.api.batches import split_json_batch, split_lines
    from ingestion.contracts.families import Family, FamilyRule, detect_family, detect_generic_or_product, only
    from ingestion.contracts.strict_json import StrictJsonError
    from ingestion.contracts.validation import Rejection, Validator, ValidEvent, Verdict

from tests.fuzz.reference import RefusedError, Stamps, stamps, strict_document

RECEIVED_AT, FIRST_DAY = datetime(2026, 11, 21, 9, 30, tzinfo=UTC), date(2015, 1, 1)
MAX_EVENTS = 3
ENGAGEMENT = '{"event_type":"view","user_id":"u","platform":"web"'
PIECES = [
    *'{}[]:,"\\ ', '"', "\n", ENGAGEMENT, ENGAGEMENT + "}", '{"event_type":"x","user_id":"u","payload":{', '{"events":[',
    '"event_id":', '"timestamp":', '"user_id":', '"metadata":{', '"platform":', '"payload":{', '"location":', '"events":', '"a":',
    '"a:b"', '"k":"v"', '"\\u003a"', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', "\\u0061", "é", "\x00", "\x7f", "\u2028", "\ufeff",
    "null", "true", "1", "-0", "1.5", "1e5", "1e999", "-1E-400", "18446744073709551615", "18446744073709551616", "9" * 4301,
    "-9223372036854775809", "NaN", "-Infinity", "1795252000", '"2026-11-21T09:30:00Z"', '"2026-11-21T09:30:00.000000Z"',
    '"2026-11-21 09:31:01+00:00"', '"1795-01-01T00:00:00Z"', '"view"', '"web"', '" "', '""', '"' + "x" * 101 + '"', "[" * 64, "]" * 64,
    '{"x":' * 63, "}" * 63, ",", ",", ":", ":", "}", "}",
]  # fmt: skip


def text_of(data: bytes) -> bytes:
    """The body that the fuzzer's bytes stand for."""
    if not data or data[0] % 2 == 0:
        return data[1:]
    return "".join(PIECES[byte % len(PIECES)] for byte in data[1:]).encode()


def check(data: bytes) -> None:
    """Raises when anything but a verdict comes out, or another verdict than the reference's."""
    body = text_of(data)
    for family in ("engagement", "generic"):
        expected = stamps(body, family, RECEIVED_AT, FIRST_DAY)
        for is_warm in (True, False):
            found = _judge(body, only(Family(family)), is_warm=is_warm)
            assert _stamps_of(found) == expected, (family, is_warm, found, expected)
    for rule in (detect_family, detect_generic_or_product, *map(only, Family)):
        assert isinstance(_judge(body, rule, is_warm=True), ValidEvent | Rejection)
    _check_batches(body)


def _judge(body: bytes, rule: FamilyRule, *, is_warm: bool) -> Verdict:
    """The verdict of a validator that expects engagements, or of one that has just met something else."""
    validator = Validator(RECEIVED_AT, FIRST_DAY)
    if not is_warm:
        validator.judge(b"{", rule)
    return validator.judge(body, rule)


def _stamps_of(verdict: Verdict) -> Stamps | None:
    if isinstance(verdict, Rejection):
        return None
    return verdict.event_type, verdict.user_id, verdict.event_id, verdict.occurred_at


def _check_batches(body: bytes) -> None:
    lines, numbers = split_lines(body, MAX_EVENTS)
    assert len(lines) == len(numbers)
    try:
        events = split_json_batch(body, MAX_EVENTS)
    except StrictJsonError:
        events = None
    try:
        document = strict_document(body)
    except RefusedError:
        return  # an event may be what is not strict: it gets its own verdict
    if isinstance(document, dict) and isinstance(document.get("events"), list):
        assert events is not None
        compared = min(len(events), MAX_EVENTS + 1)
        assert [json.loads(event) for event in events[:compared]] == document["events"][:compared]
        assert len(events) == len(document["events"]) or len(events) > MAX_EVENTS
    else:
        assert events is None


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
