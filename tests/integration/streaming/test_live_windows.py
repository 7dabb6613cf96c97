"""Live windows count what an oracle counts, whatever is repeated, late or unreadable, and a replayed batch changes nothing."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from storage.live.state import open_state
from storage.live.tables import hours, left_out
from tests.fixtures.live_records import HOUR, Sent, click, counts_of, expected_minutes, mixed, read_minutes_raw
from tests.integration.streaming.live_bench import LiveBench

pytestmark = pytest.mark.integration


def replay_last_batch(bench: LiveBench) -> None:
    """As after a kill between the commit in PostgreSQL and Spark's note of it."""
    commits = Path(bench.settings.windows_checkpoint_dir, "generation-0", "windows", "commits")
    newest = max((path for path in commits.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    newest.unlink()


@pytest.mark.feature("S0-7")
@pytest.mark.feature("S0-9")
@pytest.mark.feature("S0-12")
@pytest.mark.feature("S1-8")
def test_minutes_are_what_an_oracle_counts_and_a_replayed_batch_changes_nothing(live_bench: LiveBench) -> None:
    on_time = HOUR + timedelta(minutes=3)
    live_bench.send(mixed(1, 300))
    live_bench.send(
        [
            click("nine-late", on_time, received_after=timedelta(minutes=9)),
            click("eleven-late", on_time, received_after=timedelta(minutes=11)),
            click("eleven-late", on_time, received_after=timedelta(minutes=11, seconds=1)),
            click("resent", on_time),
            click("resent", on_time, received_after=timedelta(minutes=9, seconds=59)),
            click("resent", on_time, app_id="app-2"),
        ]
    )
    live_bench.count_all()
    assert counts_of(live_bench.engine) == expected_minutes(live_bench.sent)
    before = read_minutes_raw(live_bench.engine)
    batch = open_state(live_bench.engine).last_batch

    replay_last_batch(live_bench)
    run = live_bench.start()
    live_bench.wait_for(run, lambda: live_bench.is_noted(batch))
    assert read_minutes_raw(live_bench.engine) == before

    live_bench.send(mixed(2, 200, HOUR + timedelta(minutes=5)))
    live_bench.wait(run)
    assert run.stop()
    assert counts_of(live_bench.engine) == expected_minutes(live_bench.sent)


@pytest.mark.feature("S0-9")
def test_what_is_left_out_is_named_by_its_offset_and_minutes_close_behind_the_watermark(
    live_bench: LiveBench,
) -> None:
    at = HOUR + timedelta(minutes=1)
    live_bench.send(
        [
            click("good", at, partition=0),
            click("late", at, received_after=timedelta(minutes=10, seconds=1), partition=0),
            click("delayed", at, arrived_after=timedelta(minutes=13), partition=0),
            Sent("unreadable", at, b"{", partition=0),
            click(
                "future",
                at + timedelta(minutes=30),
                arrived_after=timedelta(minutes=-30),
                received_after=timedelta(minutes=-30),
                partition=0,
            ),
            Sent("odd\0name" * 200, at, {"user_id": "u", "platform": "web\0" * 300}, partition=0),
        ]
    )
    run = live_bench.start(clock=lambda: HOUR + timedelta(minutes=15))
    live_bench.wait(run)
    with live_bench.engine.connect() as connection:
        rows = connection.execute(select(left_out).order_by(left_out.c.kafka_offset)).all()
    assert [(row.kafka_partition, row.kafka_offset, row.event_id, row.reason) for row in rows] == [
        (0, 1, "late", "late"),
        (0, 2, "delayed", "delayed"),
        (0, 3, "unreadable", "unreadable"),
    ]
    assert rows[0].occurred_at == at
    counts = counts_of(live_bench.engine)
    assert [keys for keys in counts if keys[2] == "rejected"] == [
        (HOUR + timedelta(minutes=1), "app-1", "rejected", ("occurred_in_future",))
    ]
    assert counts[HOUR + timedelta(minutes=1), "app-1", "events", ("engagement", "click", "web")] == 1

    assert open_state(live_bench.engine).closed_before == HOUR + timedelta(minutes=3)

    # The watermark is the newest time of before the batch, less fifteen minutes.
    live_bench.send([click("next", HOUR + timedelta(minutes=76))])
    live_bench.wait(run)
    live_bench.send([click("after next", HOUR + timedelta(minutes=76))])
    live_bench.wait(run)
    assert run.stop()
    assert open_state(live_bench.engine).closed_before == HOUR + timedelta(minutes=61)
    with live_bench.engine.connect() as connection:
        [row] = connection.execute(select(hours)).all()
    assert row.hour == HOUR
    assert sum(row.offsets[live_bench.topic].values()) == 8
