"""`python -m ingestion.bridge`: runs until SIGTERM or SIGINT. Reads the environment, once.

A process of its own and not a thread of the API: decoding would take the interpreter from requests. As many may run as the topic has
partitions.
"""

import functools
import signal
import threading

import sqlalchemy as sa
import structlog
from kafka.errors import KafkaError
from sqlalchemy import Engine

from ingestion.api.ledger import AcknowledgedCounts
from ingestion.api.postgres import PostgresLedger
from ingestion.bridge.inlet import KafkaInlet
from ingestion.bridge.left_behind import count_left_behind, describe_left_behind
from ingestion.bridge.runner import Bridge
from ingestion.bridge.translation import Translator
from ingestion.contracts import download
from ingestion.contracts.topics import DOWNLOADS_GROUP
from ingestion.schema_registry.decoding import decoder_of
from ingestion.schema_registry.store import PostgresRegistryStore
from ingestion.settings import IngestionSettings
from ingestion.sinks.kafka import KafkaSink, KafkaSinkSettings
from runtime.group_watch import GroupWatch, read_positions
from runtime.logs import configure_logs
from runtime.settings import EXIT_CONFIGURATION, exit_on_invalid_settings
from storage.control import heartbeats, make_engine
from storage.settings import StorageSettings

HEARTBEAT_NAME = "download_bridge"
HEARTBEAT_SECONDS = 5.0
_STOP_SECONDS = 3.0
_RETRY_SECONDS = 1.0


def beat_until(stopping: threading.Event, engine: Engine, bridge: Bridge, watch: GroupWatch) -> None:
    """Tells every few seconds that the bridge lives; goes on while the database is away."""
    while True:
        done = {"produced": bridge.progress.produced, "rejected": bridge.progress.rejected}
        try:
            heartbeats.beat(engine, HEARTBEAT_NAME, {"state": "running", **done, **watch.details()})
        except sa.exc.SQLAlchemyError as error:
            structlog.get_logger(__name__).warning("no heartbeat", error=type(error).__name__)
        if stopping.wait(HEARTBEAT_SECONDS):
            return


def find_left_behind(storage: StorageSettings, stopping: threading.Event) -> dict[str, int]:
    """See ingestion.bridge.left_behind. Waits for the broker, without which there is nothing to move on."""
    while not stopping.is_set():
        try:
            return count_left_behind(storage.kafka_bootstrap_servers, storage.topics.downloads, DOWNLOADS_GROUP)
        except KafkaError as error:
            structlog.get_logger(__name__).info(
                "the broker does not tell yet what was read", error=type(error).__name__
            )
            stopping.wait(_RETRY_SECONDS)
    return {}


def main() -> None:
    """Builds the real parts and runs."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with exit_on_invalid_settings():
        settings, storage = IngestionSettings(), StorageSettings()
    configure_logs(HEARTBEAT_NAME, settings.environment)
    left_behind = find_left_behind(storage, stopping)
    if left_behind:
        structlog.get_logger(__name__).error(describe_left_behind(left_behind, storage.topics.downloads))
        raise SystemExit(EXIT_CONFIGURATION)
    engine = make_engine(storage, pool_size=2)
    counts = AcknowledgedCounts(PostgresLedger(engine), settings.ledger_flush_seconds)
    sink = KafkaSink(
        KafkaSinkSettings(storage.kafka_bootstrap_servers, storage.topics.live, settings.message_timeout_seconds)
    )
    translator = Translator(
        decoder_of(download.CONTRACT, PostgresRegistryStore(engine).find_text),
        settings.downloads_app_id,
        first_day=storage.first_day,
        live_topic=storage.topics.live,
        dead_letter_topic=storage.topics.dead_letters,
    )
    inlet = KafkaInlet(storage.kafka_bootstrap_servers, storage.topics.downloads)
    bridge = Bridge(inlet, sink, translator, counts)
    watch = GroupWatch(
        storage.topics.downloads,
        functools.partial(read_positions, storage.kafka_bootstrap_servers, DOWNLOADS_GROUP, storage.topics.downloads),
    )
    counts.start()
    watch.remember(heartbeats.last_details(engine, HEARTBEAT_NAME))
    watch.start(stopping)
    beating = threading.Thread(target=beat_until, args=(stopping, engine, bridge, watch), name="heartbeat", daemon=True)
    beating.start()
    try:
        bridge.run(stopping)
    finally:
        stopping.set()
        inlet.close()
        sink.close(_STOP_SECONDS)
        counts.stop(_STOP_SECONDS)


if __name__ == "__main__":
    main()
