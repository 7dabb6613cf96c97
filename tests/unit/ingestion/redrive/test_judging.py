"""The verdict on quarantined records is the edge's own, at the moment when they came, with an id that stays the same."""

import json
from datetime import date
from typing import Any

import pytest

from ingestion.api.experiments import UNREGISTERED_VARIANTS
from ingestion.contracts import download
from ingestion.contracts.quarantine import Coordinates, CoordinatesError
from ingestion.contracts.reasons import Reason
from ingestion.contracts.validation import Rejection
from ingestion.redrive.advice import ADVICE, advice_for
from ingestion.redrive.fixes import Fix, FixRule, NoFix, RuleFix
from ingestion.redrive.judging import RecordJudge, Recovered, Skipped
from ingestion.schema_registry.decoding import decoder_of
from ingestion.sinks.records import DEAD_LETTER_VALUE_MAX_BYTES
from tests.unit.ingestion import builders
from tests.unit.ingestion.builders import engagement, product
from tests.unit.ingestion.redrive.records import letter
from tests.unit.ingestion.schema_registry.test_decoding import V1, encoded

SEGMENT = {"type": "track", "event": "Sold", "userId": "u", "messageId": "m-1"}
CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def judge(fix: Fix | None = None, **options: Any) -> RecordJudge:
    return RecordJudge(
        fix or NoFix(),
        decoder_of(download.CONTRACT, {7: json.dumps(V1)}.get),
        **{
            "first_day": date(2015, 1, 1),
            "event_max_bytes": 1024 * 1024,
            "variants_of": lambda _app, _experiment: UNREGISTERED_VARIANTS,
            **options,
        },
    )


def fixing(**rule: Any) -> RecordJudge:
    return judge(RuleFix((FixRule.model_validate(rule),)))


def reason_of(verdict: object) -> str:
    return verdict.reason if isinstance(verdict, Rejection | Skipped) else "good"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (engagement(), "good"),
        (engagement(user_id=...), "missing_field"),
        (engagement(platform=...), "unknown_family"),
        (engagement(timestamp="2026-11-21T09:31:01Z"), "occurred_in_future"),
        (engagement(timestamp="2014-12-31T00:00:00Z"), "before_first_day"),
        (SEGMENT, "good"),
        (CLOUD_EVENT, "good"),
        (product(app_id="another"), "wrong_app"),
        (product(app_id="shop"), "good"),
        (product(experiment_id="x", variant="Z"), "unknown_variant"),
        (b"{", "malformed_json"),
        (b"", "malformed_json"),
        (b'{"a": "' + b"x" * 1024 * 1024 + b'"}', "body_too_large"),
    ],
)
def test_the_verdict_is_the_edges(body: Any, expected: str) -> None:
    assert reason_of(judge().judge(letter(body=body))) == expected


def test_an_event_of_a_guarded_app_needs_its_key() -> None:
    record = letter(body=product(app_id="shop"), app_id="public", reason="key_required")
    assert reason_of(judge(guarded_apps=frozenset({"shop"})).judge(record)) == "key_required"
    assert reason_of(judge().judge(record)) == "good"


def test_a_repaired_body_is_judged_and_sent_and_one_as_it_was_keeps_its_bytes() -> None:
    repaired = fixing(set={"platform": "web"}).judge(letter(body=engagement(platform=...)))
    assert isinstance(repaired, Recovered)
    assert b'"platform":"web"' in repaired.body
    spaced = b'{"event_type": "view",  "user_id": "u", "platform": "web"}'
    kept = fixing(drop=["absent"], reasons=["too_deep"]).judge(letter(body=spaced))
    assert isinstance(kept, Recovered)
    assert kept.body == spaced


def test_avro_is_judged_by_its_schema_and_kept_as_it_was_or_becomes_json_when_repaired() -> None:
    record = letter(body=encoded(builders.download(), schema_id=7), reason="unknown_schema")
    as_it_was = judge()
    as_it_was.learn([record])
    verdict = as_it_was.judge(record)
    assert isinstance(verdict, Recovered)
    assert (verdict.body, verdict.event.contract) == (record.value, "download/1")
    repairing = fixing(set={"user_id": "another"})
    repairing.learn([record])
    repaired = repairing.judge(record)
    assert isinstance(repaired, Recovered)
    assert (json.loads(repaired.body)["user_id"], repaired.event.user_id) == ("another", "another")
    assert reason_of(judge().judge(letter(body=encoded(builders.download(), schema_id=8)))) == "unknown_schema"


@pytest.mark.parametrize(
    ("changes", "body", "expected"),
    [
        ({}, engagement(event_id="own"), "own"),
        ({}, engagement(event_id=...), Coordinates("events.dlq.v1", 0, 0).derived_event_id),
        # A record that was stamped once keeps its id, so that it and what recovers it can never count as two.
        ({"stage": "silver", "event_id": "stamp"}, engagement(event_id="own"), "stamp"),
        ({"stage": "landing", "event_id": None}, engagement(event_id="own"), "own"),
    ],
)
def test_the_event_id_is_the_same_every_time(changes: dict[str, Any], body: Any, expected: str) -> None:
    for _ in range(2):
        verdict = judge().judge(letter(body=body, **changes))
        assert isinstance(verdict, Recovered)
        assert verdict.event_id == expected


def test_the_stamp_of_a_landed_record_says_its_family() -> None:
    ambiguous = engagement(event_ts=5)
    assert reason_of(judge().judge(letter(body=ambiguous, stage="silver"))) == "unknown_family"
    assert reason_of(judge().judge(letter(body=ambiguous, stage="silver", contract="engagement/1"))) != "unknown_family"


def test_what_cannot_be_judged_is_skipped() -> None:
    cut = letter(body=b"x" * DEAD_LETTER_VALUE_MAX_BYTES, reason="body_too_large")
    assert reason_of(judge().judge(cut)) == "body_is_cut"
    nobodys = letter(body=engagement(), app_id="unknown")
    assert reason_of(judge().judge(nobodys)) == "app_is_unknown"
    named = judge(app_for_unknown="shop").judge(nobodys)
    assert isinstance(named, Recovered)
    assert named.app_id == "shop"


def test_coordinates_are_read_as_they_are_written() -> None:
    place = Coordinates("events.dlq.v1", 3, 17)
    assert Coordinates.parse(str(place)) == place
    assert place.derived_event_id == Coordinates(*place).derived_event_id != place._replace(offset=18).derived_event_id
    for wrong in ("", "a/1", "/1/2", "a/b/2", "a/1/-2", "a/1/٣"):
        with pytest.raises(CoordinatesError):
            Coordinates.parse(wrong)


def test_there_is_advice_for_every_reason() -> None:
    assert set(ADVICE) == set(Reason)
    assert advice_for("missing_field:user_id") == ADVICE[Reason.MISSING_FIELD]
    assert "docs" in advice_for("unspecified")
