"""What describes an experiment, and how one may change."""

from datetime import timedelta
from typing import Any

import pytest

from ingestion.contracts.clocks import format_utc
from ingestion.contracts.experiments import (
    Experiment,
    ExperimentConflictError,
    ExperimentError,
    assure_may_become,
    read_experiment,
)
from tests.unit.ingestion.builders import NOW, encode


def read(experiment_id: str = "checkout", **body: Any) -> Experiment:
    return read_experiment(experiment_id, encode({"variants": ["control", "new"], **body}))


def test_shares_are_equal_when_absent_and_times_are_canonical() -> None:
    assert read() == Experiment("checkout", ("control", "new"), (0.5, 0.5))
    found = read(variants=["a", "b", "c"], shares=[0.7, 0.2, 0.1], starts_at="2026-01-02 03:04:05", ends_at=1795253400)
    assert found.shares == (0.7, 0.2, 0.1)
    assert (found.starts_at, found.ends_at) == ("2026-01-02T03:04:05.000000Z", "2026-11-21T09:30:00.000000Z")


def test_what_was_answered_may_be_sent_again_to_the_same_address() -> None:
    body = encode(
        {"experiment_id": "checkout", "variants": ["control", "new"], "shares": [0.5, 0.5], "starts_at": None}
    )
    assert read_experiment("checkout", body) == read()
    with pytest.raises(ExperimentError, match="differs"):
        read_experiment("other", body)


@pytest.mark.parametrize(
    "wrong",
    [
        {"variants": ["A"]},
        {"variants": ["A", "A"]},
        {"variants": ["A", ""]},
        {"variants": ["A", "x" * 101]},
        {"variants": ["A", "\0"]},
        {"variants": ["A", 2]},
        {"variants": None},
        {"shares": [0.5, 0.4]},
        {"shares": [0.5, 0.500000002]},
        {"shares": [1.0]},
        {"shares": [1.0, 0.0]},
        {"shares": [1.5, -0.5]},
        {"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-02-01T00:00:00Z"},
        {"starts_at": "soon"},
        {"share": [0.5, 0.5]},
    ],
    ids=str,
)
def test_what_is_no_experiment_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError):
        read(**wrong)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"variants":["A","B"],"variants":["A","C"]}', b"\xff", b'{"shares":NaN}']
)
def test_bodies_are_read_strictly(body: bytes) -> None:
    with pytest.raises(ExperimentError):
        read_experiment("checkout", body)


@pytest.mark.parametrize("experiment_id", ["", "x" * 101, "a\0"])
def test_ids_are_bounded(experiment_id: str) -> None:
    with pytest.raises(ExperimentError):
        read(experiment_id)


PAST, FUTURE = (format_utc(NOW + timedelta(hours=hours)) for hours in (-1, 1))


@pytest.mark.parametrize(
    ("starts_at", "change", "is_allowed"),
    [
        (None, {"variants": ["control", "new", "newer"]}, True),
        (None, {"shares": [0.9, 0.1]}, True),
        (None, {"ends_at": FUTURE}, True),
        (None, {"variants": ["control", "newer"]}, False),
        (None, {"variants": ["new", "control"]}, False),
        (None, {"starts_at": FUTURE}, False),
        (PAST, {"starts_at": FUTURE}, False),
        (FUTURE, {"variants": ["x", "y"], "starts_at": PAST}, True),
    ],
)
def test_a_started_experiment_only_gains_variants(
    starts_at: str | None, change: dict[str, Any], is_allowed: bool
) -> None:
    old, new = read(starts_at=starts_at), read(**{"starts_at": starts_at, **change})
    if is_allowed:
        assure_may_become(old, new, NOW)
    else:
        with pytest.raises(ExperimentConflictError, match="has started"):
            assure_may_become(old, new, NOW)
