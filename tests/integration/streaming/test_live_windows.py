"""Live windows count what an oracle counts, whatever is repeated, late or unreadable, and a replayed batch changes nothing."""

import json
import shutil
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from kafka.errors import KafkaError
from sqlalchemy import select

from ingestion.contracts.avro_wire import MAGIC, decodable
from ingestion.contracts.formats import avro
from ingestion.contracts.registry import CONTRACTS
from storage.live.batches import close_before
from storage.live.parity import compare_hour
from storage.live.state import WINDOWS_QUERY, open_state
from storage.live.tables import hours, left_out
from tests.fixtures.lakehouse import open_lakehouse
from tests.fixtures.live_records import (
    HOUR,
    Sent,
    bronze_row,
    click,
    counts_of,
    download,
    expected_minutes,
    mixed,
    read_minutes_raw,
)
from tests.integration.streaming.live_bench import LiveBench

DOWNLOAD_SCHEMA = json.dumps(decodable(json.dumps(avro.schema(CONTRACTS["download/1"]))))

pytestmark = pytest.mark.integration


def avro_download(event_id: str, at: datetime, schema_id: int, **changes: Any) -> Sent:
    """A download as a client writes it in Avro: zero byte, id of the schema, datum."""
    made = download(event_id, at, **changes)
    datum = BytesIO()
    fastavro.schemaless_writer(datum, fastavro.parse_schema(json.loads(DOWNLOAD_SCHEMA)), made.body)
    return made.later(body=MAGIC + schema_id.to_bytes(4, "big") + datum.getvalue())


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
    assert_equal_to_gold(live_bench)


def assert_equal_to_gold(bench: LiveBench) -> None:
    """What Spark counted is what dbt publishes of the same records: sums and users too."""
    close_before(bench.engine, WINDOWS_QUERY, HOUR + timedelta(hours=1))
    lakehouse = open_lakehouse(bench.storage, checks=False)
    lakehouse.land([bronze_row(record, bench.topic, partition, offset) for record, partition, offset in bench.places])
    lakehouse.publish([HOUR])
    report = compare_hour(bench.storage, bench.engine, HOUR, topic=bench.topic, remembered_seconds=600)
    lakehouse.engine.dispose()
    assert report.describe()["examples"] == []
    assert report.ok
    assert report.left_out == {"late": 2}


@pytest.mark.feature("S0-10")
def test_a_broker_that_does_not_answer_for_a_while_ends_nothing(live_bench: LiveBench) -> None:
    live_bench.send([click("before", HOUR, "u1")])
    run = live_bench.start()
    live_bench.wait(run)
    reader = live_bench.reader
    known, reader._bootstrap_servers = reader._bootstrap_servers, "127.0.0.1:9"  # nobody listens there
    reader.close()
    with pytest.raises(KafkaError):
        reader.read()
    run.check()
    reader._bootstrap_servers = known
    live_bench.send([click("after", HOUR, "u2")])
    live_bench.wait(run)
    assert run.stop()
    assert sum(counts_of(live_bench.engine).values()) == 2


@pytest.mark.feature("S0-9")
def test_what_is_left_out_is_named_by_its_offset_and_minutes_close_behind_the_watermark(
    live_bench: LiveBench,
) -> None:
    from streaming.live_run import LiveSource

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
            avro_download("avro", at, schema_id=7, partition=0),
            avro_download("avro-unknown", at, schema_id=9, partition=0),
            Sent("odd\0name" * 200, at, {"user_id": "u", "platform": "web\0" * 300}, partition=0),
        ]
    )
    source = LiveSource(live_bench.topic, "events.dlq.v1", DOWNLOAD_SCHEMA, {7: DOWNLOAD_SCHEMA})
    run = live_bench.start(source=source, clock=lambda: HOUR + timedelta(minutes=15))
    live_bench.wait(run)
    with live_bench.engine.connect() as connection:
        rows = connection.execute(select(left_out).order_by(left_out.c.kafka_offset)).all()
    assert [(row.kafka_partition, row.kafka_offset, row.event_id, row.reason) for row in rows] == [
        (0, 1, "late", "late"),
        (0, 2, "delayed", "delayed"),
        (0, 3, "unreadable", "unreadable"),
        (0, 6, "avro-unknown", "unreadable"),
    ]
    assert rows[0].occurred_at == at
    counts = counts_of(live_bench.engine)
    assert [keys for keys in counts if keys[2] == "rejected"] == [
        (HOUR + timedelta(minutes=1), "app-1", "rejected", ("occurred_in_future",))
    ]
    assert counts[at, "app-1", "events", ("engagement", "click", "web")] == 1
    assert counts[at, "app-1", "content", ("movie", "eu")] == 1
    assert counts[at, "app-1", "error", ("eu", "none")] == 1

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
    assert sum(row.offsets[live_bench.topic].values()) == 10


def test_a_lost_checkpoint_is_refused_and_a_new_one_counts_the_unpublished_hours_again(live_bench: LiveBench) -> None:
    from streaming.errors import StartRefusedError
    from streaming.kafka_topics import read_offsets_at
    from streaming.live_recovery import perform_recovery, plan_recovery

    old = click("old", HOUR - timedelta(hours=30))
    live_bench.send([old, *mixed(3, 100)])
    live_bench.count_all()
    before = counts_of(live_bench.engine)
    shutil.rmtree(live_bench.settings.windows_checkpoint_dir)
    with pytest.raises(StartRefusedError, match="tidemark recover realtime-windows"):
        live_bench.start()

    bootstrap = live_bench.storage.kafka_bootstrap_servers
    plan = plan_recovery(
        live_bench.engine,
        lambda moment: read_offsets_at(bootstrap, live_bench.topic, moment),
        HOUR + timedelta(minutes=20),
    )
    assert (plan.generation, plan.counted_from) == (1, HOUR)
    assert sum(plan.starts[live_bench.topic].values()) == 1, "all but the old one"
    for _ in range(2):
        perform_recovery(live_bench.engine, plan)
    live_bench.send([click("new", HOUR + timedelta(minutes=9))])
    live_bench.count_all()
    assert counts_of(live_bench.engine) == expected_minutes(live_bench.sent)
    assert sum(counts_of(live_bench.engine).values()) == sum(before.values()) + 1
