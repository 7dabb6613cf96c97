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
from storage.bronze import landed_offsets
from storage.control.tables import alerts
from storage.live.batches import close_before
from storage.live.hours import DueHour
from storage.live.parity import compare_hour
from storage.live.state import WINDOWS_QUERY, open_state
from storage.live.tables import hours, left_out
from storage.publications import latest
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

# An application's own, in an event that is no download.
OWN_FIELDS = {"content": {"title": "T", "size_mb": 5}, "download": {"status": "success", "speed_mbps": 2.5}}
# What Spark keeps in its state, by the version of the plan: operator, keys, values. Where this differs, PLAN_VERSION has to be raised.
STATE = {
    1: {
        0: (
            "stateStoreSave",
            "window:struct app_id:string breakdown:string keys:array",
            "count:long sum:long sum:long sum:long sum:decimal(28,6) isEmpty:boolean sum:decimal(28,6) isEmpty:boolean "
            "sum:decimal(28,6) isEmpty:boolean max:string buf:binary",
        ),
        1: ("dedupeWithinWatermark", "app_id:string event_id:string", "expiresAtMicros:long"),
    }
}
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
            click("own fields", on_time, "u2").later(
                body={"event_type": "click", "user_id": "u2", "platform": "web", **OWN_FIELDS}
            ),
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
    publication = latest(bench.engine)
    assert publication is not None
    report = compare_hour(
        bench.storage,
        bench.engine,
        DueHour(HOUR, 0, landed_offsets(bench.storage)),
        publication,
        topic=bench.topic,
        remembered_seconds=600,
    )
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


def read_state(bench: LiveBench) -> dict[int, tuple[str, str, str]]:
    """As STATE: what the checkpoint in force says of itself."""
    generation = f"generation-{open_state(bench.engine).generation}"
    found = {}
    for folder in Path(bench.settings.windows_checkpoint_dir, generation, "windows", "state").iterdir():
        operator = json.loads((folder / "_metadata" / "metadata").read_text().splitlines()[1])["operatorInfo"]
        text = (folder / "0" / "_metadata" / "schema").read_bytes().decode("latin-1")
        schemas = []
        while (start := text.find('{"type":"struct"')) >= 0:
            schema, length = json.JSONDecoder().raw_decode(text[start:])
            text = text[start + length :]
            kinds = [(field["name"], field["type"]) for field in schema["fields"]]
            schemas.append(
                " ".join(f"{name}:{kind if isinstance(kind, str) else kind['type']}" for name, kind in kinds)
            )
        keys, values = schemas
        found[operator["operatorId"]] = (operator["operatorName"], keys, values)
    return found


def test_rows_behind_the_watermark_raise_an_alert_that_ends_after_an_hour_without_one(live_bench: LiveBench) -> None:
    def open_alerts() -> list[Any]:
        with live_bench.engine.connect() as connection:
            return list(connection.execute(select(alerts).where(alerts.c.resolved_at.is_(None))))

    now = HOUR + timedelta(minutes=80)
    run = live_bench.start(clock=lambda: now)
    # Its time comes after records that moved the watermark to 61: as when one partition is read long before another.
    for minutes in (76, 77, 30):
        live_bench.send([click(f"at {minutes}", HOUR + timedelta(minutes=minutes))])
        live_bench.wait(run)
    live_bench.wait_for(run, lambda: bool(open_alerts()))
    [alert] = open_alerts()
    assert (alert.kind, alert.details) == ("live_rows_dropped", {"rows": 1})
    assert "TIDEMARK_STREAMING_WINDOWS_WATERMARK_SLACK_SECONDS" in alert.message
    now += timedelta(minutes=59)
    run.check()
    assert len(open_alerts()) == 1
    now += timedelta(minutes=1)
    run.check()
    assert open_alerts() == []
    assert run.stop()


def recover(bench: LiveBench) -> Any:
    """What `tidemark recover realtime-windows` does, twice; its plan."""
    from streaming.kafka_topics import read_offsets_at
    from streaming.live_recovery import perform_recovery, plan_recovery

    bootstrap = bench.storage.kafka_bootstrap_servers
    plan = plan_recovery(
        bench.engine,
        lambda moment: read_offsets_at(bootstrap, bench.topic, moment),
        HOUR + timedelta(minutes=20),
        late_after_seconds=bench.storage.late_after_seconds,
    )
    for _ in range(2):
        perform_recovery(bench.engine, plan)
    return plan


@pytest.mark.feature("S1-10")
def test_a_lost_checkpoint_and_another_plans_are_refused_and_a_new_one_counts_the_unpublished_hours_again(
    live_bench: LiveBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streaming.errors import StartRefusedError
    from streaming.live_windows import PLAN_VERSION

    old = click("old", HOUR - timedelta(hours=30))
    live_bench.send([old, *mixed(3, 100)])
    live_bench.count_all()
    before = counts_of(live_bench.engine)
    shutil.rmtree(live_bench.settings.windows_checkpoint_dir)
    with pytest.raises(StartRefusedError, match="tidemark recover realtime-windows"):
        live_bench.start()

    plan = recover(live_bench)
    assert (plan.generation, plan.counted_from) == (1, HOUR)
    assert sum(plan.starts[live_bench.topic].values()) == 1, "all but the old one"
    live_bench.send([click("new", HOUR + timedelta(minutes=9))])
    # More slack, as the alert of dropped rows advises, is no other plan.
    live_bench.count_all()
    live_bench.settings = live_bench.settings.model_copy(update={"windows_watermark_slack_seconds": 600})
    live_bench.send([click("with more slack", HOUR + timedelta(minutes=9))])
    live_bench.count_all()
    assert counts_of(live_bench.engine) == expected_minutes(live_bench.sent)
    assert sum(counts_of(live_bench.engine).values()) == sum(before.values()) + 2
    assert read_state(live_bench) == STATE[PLAN_VERSION]

    # A version of Tidemark whose query keeps another state.
    monkeypatch.setattr("streaming.live_run.PLAN_VERSION", PLAN_VERSION + 1)
    with pytest.raises(
        StartRefusedError, match=r"written by plan 1 of the query, and this is plan 2: `tidemark recover"
    ):
        live_bench.start()
    assert recover(live_bench).generation == 2
    live_bench.count_all()
    assert counts_of(live_bench.engine) == expected_minutes(live_bench.sent)
    live_bench.count_all()
