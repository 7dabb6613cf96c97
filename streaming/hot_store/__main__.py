"""`python -m streaming.hot_store`: one worker of the consumer group, until SIGTERM or SIGINT. Reads the environment, once.

The work is a thread's, so that a signal is heard while the database client waits for an answer.
"""

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
import structlog
from prometheus_client import start_http_server
from sqlalchemy import Engine

from runtime.aliases import log_conflicts
from runtime.group_watch import GroupWatch, read_positions
from runtime.logs import configure_logs
from runtime.settings import ProcessSettings, exit_on_invalid_settings
from storage.control import heartbeats, make_engine
from storage.hot_store.events import first_kept_day
from storage.hot_store.metrics import MeteredHotStore
from storage.hot_store.opening import open_hot_store
from storage.hot_store.settings import HotStoreSettings
from storage.settings import StorageSettings
from streaming.errors import EXIT_FAILED, KafkaUnreachableError
from streaming.hot_store.avro_bodies import AvroBodies, registered_schemas
from streaming.hot_store.batches import Handler
from streaming.hot_store.dead_letters import KafkaDeadLetters
from streaming.hot_store.metrics import WorkerMetrics
from streaming.hot_store.records import RecordParser
from streaming.hot_store.settings import HotStoreConsumerSettings
from streaming.hot_store.source import GroupMembership, KafkaRecordSource
from streaming.hot_store.worker import Worker
from streaming.kafka_topics import wait_for_topics

LOOK_SECONDS = 0.1
log = structlog.get_logger(__name__)


def beat_until(
    stopping: threading.Event, engine: Engine, settings: HotStoreConsumerSettings, worker: Worker, watch: GroupWatch
) -> None:
    """Tells every few seconds that the worker lives; goes on while the database is away."""
    while True:
        try:
            heartbeats.beat(
                engine, settings.worker_name, {"state": worker.state, "pid": os.getpid(), **watch.details()}
            )
        except sa.exc.SQLAlchemyError as error:
            log.warning("no heartbeat", error=type(error).__name__)
        if stopping.wait(settings.heartbeat_seconds):
            return


class StopSignals:
    """Whether SIGTERM or SIGINT came. A plain attribute: a handler that set an Event could wait for a lock that its own thread holds."""

    def __init__(self) -> None:
        self.came = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.came = True


def run_apart(
    work: Callable[[], None], signals: StopSignals, stopping: threading.Event, timeout_seconds: float
) -> bool:
    """Runs `work` in a thread until it ends by itself or a stop is asked for. True when it ended well and in time."""
    failed = threading.Event()

    def guarded() -> None:
        try:
            work()
        except Exception:
            log.exception("the worker failed")
            failed.set()
        finally:
            stopping.set()

    thread = threading.Thread(target=guarded, name="hot-store-worker", daemon=True)
    thread.start()
    while thread.is_alive() and not signals.came:
        time.sleep(LOOK_SECONDS)
    stopping.set()
    thread.join(timeout_seconds)
    return not failed.is_set() and not thread.is_alive()


def main() -> int:
    """Builds the real parts and works. 0 after a stop, 1 when something failed: the next start goes on at the committed offsets."""
    with exit_on_invalid_settings():
        process, storage = ProcessSettings(), StorageSettings()
        hot, settings = HotStoreSettings(), HotStoreConsumerSettings()
    configure_logs(settings.worker_name, process.environment)
    log_conflicts(os.environ, StorageSettings, HotStoreSettings)
    signals, stopping = StopSignals(), threading.Event()
    try:
        wait_for_topics(
            storage.kafka_bootstrap_servers,
            (storage.topics.live, storage.topics.dead_letters),
            timeout_seconds=settings.kafka_wait_seconds,
            is_stopping=lambda: signals.came,
        )
    except KafkaUnreachableError as error:
        log.error("no worker without a broker", error=str(error))
        return 0 if signals.came else EXIT_FAILED
    metrics, engine = WorkerMetrics(), make_engine(storage, pool_size=2)
    if settings.metrics_port:
        start_http_server(settings.metrics_port, settings.metrics_host, metrics.registry)
    store = MeteredHotStore(open_hot_store(hot, storage, pool_size=2), metrics.store)
    avro = AvroBodies(functools.partial(registered_schemas, engine))
    letters = KafkaDeadLetters(storage.kafka_bootstrap_servers, storage.topics.dead_letters, hot.consumer_group)
    handler = Handler(
        RecordParser(storage.first_day, avro),
        avro,
        store,
        letters,
        functools.partial(first_kept_day, ttl_days=hot.ttl_days),
    )
    source = KafkaRecordSource(
        GroupMembership(
            storage.kafka_bootstrap_servers,
            storage.topics.live,
            hot.consumer_group,
            settings.worker_name,
            settings.batch_max_records,
            settings.session_timeout_seconds,
        )
    )
    worker = Worker(
        source,
        store,
        handler,
        metrics,
        batch_max_records=settings.batch_max_records,
        gather_seconds=settings.gather_milliseconds / 1000,
        retry_max_seconds=settings.retry_max_seconds,
    )
    live = storage.topics.live
    watch = GroupWatch(
        live, functools.partial(read_positions, storage.kafka_bootstrap_servers, hot.consumer_group, live)
    )
    watch.remember(heartbeats.last_details(engine, settings.worker_name))
    watch.start(stopping)
    threading.Thread(target=beat_until, args=(stopping, engine, settings, worker, watch), daemon=True).start()

    def work() -> None:
        try:
            worker.run(stopping)
        finally:
            source.close()
            letters.close()
            store.close()

    if run_apart(work, signals, stopping, settings.stop_timeout_seconds):
        log.info("stopped")
        return 0
    return EXIT_FAILED


if __name__ == "__main__":
    # Not sys.exit: a thread that waits for an answer that never comes must not keep the process.
    code = main()
    sys.stderr.flush()
    os._exit(code)
