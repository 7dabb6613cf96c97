"""The heartbeat tells lag and rate truly, and outlives what it reports to."""

from datetime import UTC, datetime, timedelta
from typing import Any

from streaming.live_progress import LiveBatch, LiveProgress
from streaming.progress import HeartbeatThread, LandingProgress, Waiting, count_lag
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


def test_since_when_records_wait_is_told_until_none_does_and_a_batch_begins_it_anew() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    now = start
    landing, live = LandingProgress(waiting=Waiting(lambda: now)), LiveProgress(Waiting(lambda: now))
    for progress in (landing, live):
        now = start
        assert progress.describe({"t": {0: 0}})["waits_since"] is None
        now += timedelta(hours=1)  # nothing came for an hour
        assert progress.describe({"t": {0: 9}})["waits_since"] == "2024-01-01T01:00:00.000000Z"
        now += timedelta(minutes=1)
        assert progress.describe({"t": {0: 12}})["waits_since"] == "2024-01-01T01:00:00.000000Z"
    ended = start + timedelta(hours=1, seconds=30)
    landing.record_batch(LandedBatch("live", 3, 5, 0.25, ended), {"t": {0: 4}})
    live.record_batch(LiveBatch(1, 5, 0.25, ended, {"t": {0: 5}}, None))
    for progress in (landing, live):
        assert progress.describe({"t": {0: 12}})["waits_since"] == "2024-01-01T01:00:30.000000Z"
        assert progress.describe(None)["waits_since"] is None, "Kafka does not say"
        assert progress.describe({"t": {0: 5}})["waits_since"] is None


def test_a_driver_that_fails_again_and_again_gets_on_no_more_than_one_that_hangs() -> None:
    # Regression: each process began to count anew, so that one which refused or failed within two minutes raised no alert.
    now = datetime(2024, 1, 1, tzinfo=UTC)
    for progress in (LandingProgress(waiting=Waiting(lambda: now)), LiveProgress(Waiting(lambda: now))):
        progress.remember({"waits_since": "2023-12-31T23:50:00.000000Z"})
        assert progress.describe({"t": {0: 9}})["waits_since"] == "2023-12-31T23:50:00.000000Z"
        progress.remember({})
        assert progress.describe({"t": {0: 9}})["waits_since"] == "2024-01-01T00:00:00.000000Z"
