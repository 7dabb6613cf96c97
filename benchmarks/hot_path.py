"""How soon an accepted event is visible in the hot store, and how fast the store is read.

Ours: two workers of the consumer group, each a process with the real parts, over a real broker and PostgreSQL. Other: a bare loop of the
same client, a consumer that reads the same records and looks at the clock. Both are measured from the moment at which a record is stamped
and handed to a producer with the API's settings, at a constant rate whatever becomes of it (open loop). An event is visible when the
store's write has returned: it is committed then. The promise is 100 ms beyond the bare loop's 99th percentile.

Second figure: 8 readers at one time, each a process, over a million rows of the last days; the 95th percentile of lists of 10 and 100.

Environment: TIDEMARK_BENCH_HOT_SECONDS (default 60), TIDEMARK_BENCH_HOT_RATE (1000), TIDEMARK_BENCH_HOT_ROWS (1000000).
"""

import functools
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.events import engagement_lines
from benchmarks.figures import report
from ingestion.contracts import headers
from ingestion.contracts.clocks import format_utc
from ingestion.contracts.topics import LIVE_TOPIC
from local_stack.broker import running_broker
from local_stack.postgres import create_database, running_postgres
from local_stack.topics import create_topics
from storage.control import make_engine, migrate
from storage.hot_store.events import HotEvent, first_kept_day
from storage.hot_store.partitions import ensure_days
from storage.hot_store.postgres import PostgresHotStore
from storage.settings import StorageSettings

SECONDS = int(os.environ.get("TIDEMARK_BENCH_HOT_SECONDS", "60"))
RATE = int(os.environ.get("TIDEMARK_BENCH_HOT_RATE", "1000"))
ROWS = int(os.environ.get("TIDEMARK_BENCH_HOT_ROWS", "1000000"))
WARM_UP_SECONDS = 15
BEYOND_MILLISECONDS = 100.0
READERS = 8
READS_EACH = 400
READ_TARGET_MILLISECONDS = 20.0
DAYS = 7


class TimedStore(PostgresHotStore):
    """The store, which notes when each event became visible."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url, pool_size=2)
        self.visible: list[tuple[str, float]] = []

    def write(self, events: Sequence[HotEvent]) -> int:
        """See HotStore."""
        count = super().write(events)
        now = time.time()
        self.visible += [(event.event_id, now) for event in events]
        return count


def work(bootstrap: str, database_url: str, stopping: Event, answer: Connection) -> None:
    """One worker with its real parts; answers what became visible when."""
    from streaming.hot_store.avro_bodies import AvroBodies
    from streaming.hot_store.batches import Handler
    from streaming.hot_store.dead_letters import KafkaDeadLetters
    from streaming.hot_store.metrics import WorkerMetrics
    from streaming.hot_store.records import RecordParser
    from streaming.hot_store.settings import HotStoreConsumerSettings
    from streaming.hot_store.source import GroupMembership, KafkaRecordSource
    from streaming.hot_store.worker import Worker

    settings, store, avro = HotStoreConsumerSettings(), TimedStore(database_url), AvroBodies(dict)
    letters = KafkaDeadLetters(bootstrap, "events.dlq.v1", "bench")
    kept = functools.partial(first_kept_day, ttl_days=DAYS)
    handler = Handler(RecordParser(StorageSettings().first_day, avro), avro, store, letters, kept)
    source = KafkaRecordSource(GroupMembership(bootstrap, LIVE_TOPIC, "bench", "bench", settings.batch_max_records, 6))
    worker = Worker(
        source,
        store,
        handler,
        WorkerMetrics(),
        batch_max_records=settings.batch_max_records,
        gather_seconds=settings.gather_milliseconds / 1000,
        retry_max_seconds=1,
    )
    stopped = threading.Event()
    threading.Thread(target=lambda: (stopping.wait(), stopped.set()), daemon=True).start()
    worker.run(stopped)
    source.close()
    answer.send((store.visible, time.process_time()))


def listen(bootstrap: str, stopping: Event, answer: Connection) -> None:
    """The bare loop; answers what was consumed when."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        LIVE_TOPIC, bootstrap_servers=bootstrap, group_id="bare", enable_auto_commit=False, auto_offset_reset="earliest"
    )
    consumed: list[tuple[str, float]] = []
    while not stopping.is_set():
        for records in consumer.poll(timeout_ms=200).values():
            now = time.time()
            consumed += [(dict(record.headers)[headers.EVENT_ID].decode(), now) for record in records]
    consumer.close()
    answer.send((consumed, time.process_time()))


def send(bootstrap: str, seconds: int, prefix: str) -> tuple[dict[str, float], float]:
    """Event id → when it was stamped, and how late the sender was at worst. Sends at the rate whatever the others do."""
    from confluent_kafka import Producer

    from ingestion.api.__main__ import sink_settings
    from ingestion.settings import IngestionSettings

    storage = StorageSettings(kafka_bootstrap_servers=bootstrap)
    producer = Producer(sink_settings(IngestionSettings(), storage).producer_config())
    lines = engagement_lines(1000, datetime.now(UTC))
    sent: dict[str, float] = {}
    worst_seconds = 0.0
    started = time.time()
    for number in range(seconds * RATE):
        due = started + number / RATE
        while (ahead := due - time.time()) > 0:
            producer.poll(min(ahead, 0.001))
        name, line, now = f"{prefix}-{number}", lines[number % 1000], time.time()
        stamp = format_utc(datetime.fromtimestamp(now, UTC)).encode()
        producer.produce(
            LIVE_TOPIC,
            line,
            f"user-{number % 5000}",
            headers=[
                (headers.SPEC_VERSION, headers.SPEC_VERSION_VALUE),
                (headers.EVENT_ID, name),
                (headers.SOURCE, b"bench"),
                (headers.EVENT_TYPE, b"click"),
                (headers.OCCURRED_AT, stamp),
                (headers.DATA_SCHEMA, b"engagement/1"),
                (headers.RECEIVED_AT, stamp),
            ],
        )
        # Producing never waits for the broker, so what makes the sender late is not what is measured.
        sent[name] = now
        worst_seconds = max(worst_seconds, now - due)
    producer.flush(30)
    return sent, worst_seconds


def measure_visibility(bootstrap: str, database_url: str) -> bool:
    """Prints the first figure."""
    context = multiprocessing.get_context("spawn")
    stopping = context.Event()
    jobs: list[tuple[Any, Connection]] = []
    for target, arguments in (
        (work, (bootstrap, database_url)),
        (work, (bootstrap, database_url)),
        (listen, (bootstrap,)),
    ):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=target, args=(*arguments, stopping, theirs), daemon=True)
        process.start()
        jobs.append((process, ours))
    time.sleep(5)
    send(bootstrap, WARM_UP_SECONDS, "warm")
    sent, worst_seconds = send(bootstrap, SECONDS, "measured")
    time.sleep(3)
    stopping.set()
    answers = [pipe.recv() for _, pipe in jobs]
    for process, _ in jobs:
        process.join(20)
    visible = [pair for pairs, _ in answers[:2] for pair in pairs if pair[0] in sent]
    bare = [pair for pair in answers[2][0] if pair[0] in sent]
    if len({name for name, _ in visible}) != len(sent):
        raise RuntimeError(f"{len(sent)} sent, {len(visible)} visible")
    ours = sorted((at - sent[name]) * 1000 for name, at in visible)
    other = sorted((at - sent[name]) * 1000 for name, at in bare)
    bare_p99 = quantile(other, 0.99)
    return report(
        "hot_path_visible_p99",
        quantile(ours, 0.99),
        bare_p99 + BEYOND_MILLISECONDS,
        1.0,
        "lower",
        "ms",
        bare_loop_p99=round(bare_p99, 1),
        p50=round(quantile(ours, 0.5), 1),
        bare_loop_p50=round(quantile(other, 0.5), 1),
        events_per_second=RATE,
        sender_late_milliseconds=round(worst_seconds * 1000),
        worker_processor_microseconds_per_event=round(
            sum(seconds for _, seconds in answers[:2]) / (len(sent) + WARM_UP_SECONDS * RATE) * 1e6
        ),
    )


def fill(database_url: str) -> None:
    """A million rows of some days: five types, 10,000 users, bodies of 400 bytes."""
    engine = make_engine(StorageSettings(database_url=database_url), pool_size=1)
    today = datetime.now(UTC).date()
    ensure_days(engine, {today - timedelta(days=ago) for ago in range(DAYS + 1)})
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "insert into hot.events select 'rows', 'e-' || md5(n::text),"
                " (array['view','like','click','comment','share'])[1 + n % 5], 'user-' || (n::bigint * 7919 % 10000),"
                " now() - n * make_interval(secs => :step), now(), 'engagement/1', :body, n % 4, n"
                " from generate_series(1, :rows) as n"
            ),
            {
                "rows": ROWS,
                "step": (DAYS - 1) * 86_400 / ROWS,
                "body": engagement_lines(1, datetime.now(UTC))[0].decode(),
            },
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("vacuum analyze hot.events")
    engine.dispose()


def read(database_url: str, seed: int, answer: Connection) -> None:
    """One reader: lists of all three kinds, the newest and pages further on. Answers seconds."""
    store, chance = PostgresHotStore(database_url, pool_size=1), random.Random(seed)
    durations = []
    after = None
    for number in range(READS_EACH + 20):
        kind, limit = number % 3, 10 if number % 2 else 100
        started = time.perf_counter()
        if kind == 0:
            found = store.latest("rows", limit, after)
        elif kind == 1:
            found = store.by_type("rows", chance.choice(("view", "like", "click")), limit, after)
        else:
            found = store.by_user("rows", f"user-{chance.randrange(10_000)}", limit)
        durations.append(time.perf_counter() - started)
        if not found:
            raise RuntimeError("an empty list: the benchmark reads what is not there")
        after = found[-1].position if chance.random() < 0.7 and kind < 2 else None
    answer.send(durations[20:])


def measure_reads(database_url: str) -> bool:
    """Prints the second figure."""
    fill(database_url)
    context = multiprocessing.get_context("spawn")
    jobs = []
    for seed in range(READERS):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=read, args=(database_url, seed, theirs), daemon=True)
        process.start()
        jobs.append((process, ours))
    durations = sorted(seconds * 1000 for _, pipe in jobs for seconds in pipe.recv())
    for process, _ in jobs:
        process.join(20)
    return report(
        "hot_store_read_p95",
        quantile(durations, 0.95),
        READ_TARGET_MILLISECONDS,
        1.0,
        "lower",
        "ms",
        p50=round(quantile(durations, 0.5), 2),
        readers=READERS,
        rows=ROWS,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> int:
    """Prints both figures; 1 when one misses its target."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_broker(Path(folder) / "broker") as bootstrap,
        running_postgres(Path(folder) / "postgres") as server,
    ):
        create_topics(bootstrap)
        url = create_database(server, "hot_path")
        migrate(StorageSettings(database_url=url))
        ok = measure_visibility(bootstrap, url)
        reads_ok = measure_reads(url)
    return 0 if ok and reads_ok else 1


if __name__ == "__main__":
    sys.exit(main())
