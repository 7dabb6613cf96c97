"""The heartbeat tells lag and rate truly, and outlives what it reports to."""

from datetime import UTC, datetime
from typing import Any

from streaming.progress import HeartbeatThread, LandingProgress, count_lag
from streaming.writers import LandedBatch


def batch(rows: int) -> LandedBatch:
    return LandedBatch("live", 3, rows, 0.25, datetime(2024, 1, 1, tzinfo=UTC))


def test_lag_counts_what_kafka_has_and_bronze_has_not() -> None:
    assert count_lag({"t": {0: 10, 1: 5}, "u": {0: 0}}, {"t": {0: 7}}) == {"t": 7, "u": 0}


def test_details_tell_state_rate_and_last_batch() -> None:
    now = [0.0]
    progress = LandingProgress(clock=lambda: now[0])
    now[0] = 10.0
    progress.set_state("running")
    progress.record_batch(batch(500), {"t": {0: 499}})

    details = progress.describe({"t": {0: 600}})

    assert (details["state"], details["lag"], details["rows_per_second"]) == ("running", {"t": 100}, 50.0)
    assert details["last_batches"]["live"] == {
        "batch_id": 3,
        "rows": 500,
        "duration_seconds": 0.25,
        "finished_at": "2024-01-01T00:00:00.000000Z",
    }


def test_the_rate_forgets_old_batches() -> None:
    now = [0.0]
    progress = LandingProgress(clock=lambda: now[0])
    progress.record_batch(batch(500), {})
    now[0] = 100.0

    assert progress.describe(None)["rows_per_second"] == 0


def test_a_beat_survives_kafka_and_the_database_being_away() -> None:
    beats: list[dict[str, Any]] = []
    is_down = [True]

    def read_ends() -> dict[str, dict[int, int]]:
        if is_down[0]:
            raise ConnectionError("down")
        return {"t": {0: 1}}

    def beat(details: dict[str, Any]) -> None:
        if is_down[0]:
            raise ConnectionError("down")
        beats.append(details)

    thread = HeartbeatThread(LandingProgress(), beat=beat, read_ends=read_ends, every_seconds=60)
    thread.beat_once()
    is_down[0] = False
    thread.beat_once()

    assert [beat["lag"] for beat in beats] == [{"t": 1}]
