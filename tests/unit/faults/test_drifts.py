"""What the harness expects of each drift is what the contract says, and what is taken is still the same event."""

import json
from datetime import UTC, date, datetime

import pytest

from ingestion.contracts.validation import Validator, ValidEvent
from tests.faults.drifts import DRIFTS, REFUSED, TAKEN, Drift

NOW = datetime(2026, 11, 26, 6, 30, 0, 123456, tzinfo=UTC)
BODY = {
    "event_id": "fault-1",
    "event_type": "like",
    "platform": "web",
    "user_id": "ada",
    "content_id": "post-1",
    "timestamp": NOW.isoformat(),
}


def judge(body: dict[str, object]) -> object:
    return Validator(NOW, date(2015, 1, 1)).judge(json.dumps(body).encode())


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.name)
def test_the_contract_takes_or_refuses_it_as_the_harness_expects(drift: Drift) -> None:
    verdict = judge(drift.change(BODY))
    assert isinstance(verdict, ValidEvent) is drift.is_accepted, verdict


@pytest.mark.parametrize("drift", TAKEN, ids=lambda drift: drift.name)
def test_what_is_taken_is_the_same_event(drift: Drift) -> None:
    plain, drifted = judge(BODY), judge(drift.change(BODY))
    assert isinstance(plain, ValidEvent)
    assert isinstance(drifted, ValidEvent)
    assert (drifted.event_id, drifted.event_type, drifted.user_id) == ("fault-1", "like", "ada")
    assert str(drifted.occurred_at)[:22] == str(NOW.isoformat())[:22]


def test_there_are_twenty_of_them_and_both_kinds() -> None:
    assert len({drift.name for drift in DRIFTS}) == len(DRIFTS) >= 20
    assert min(len(TAKEN), len(REFUSED)) >= 10
