"""What the drivers of streaming queries share: settings, signals, heartbeat, and what an error becomes of.

Exit codes: 0 stopped on request; 1 a query, Kafka or the JVM failed (start again, it goes on exactly where it was);
78 it must not start as things are (a person has to act; starting again cannot help).
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from runtime.aliases import log_conflicts
from runtime.logs import configure_logs
from runtime.settings import EXIT_CONFIGURATION, ProcessSettings, describe_invalid
from storage.settings import StorageSettings
from streaming.errors import EXIT_FAILED, ConfigurationError, StreamingError
from streaming.progress import HeartbeatThread, Progress
from streaming.settings import StreamingSettings

POLL_SECONDS = 0.5


ProgressT = TypeVar("ProgressT", bound=Progress)


def drive(
    name: str,
    progress: ProgressT,
    run: Callable[[StorageSettings, StreamingSettings, ProgressT, threading.Event], None],
    read_topics: Callable[[StorageSettings], tuple[str, ...]],
) -> int:
    """Runs until asked to stop, beating as `name` with the lag of these topics. Returns the exit code."""
    logger = logging.getLogger(f"tidemark.{name}")
    stopping = threading.Event()
    catch_signals(stopping)
    try:
        storage, settings = StorageSettings(), StreamingSettings()
        configure_logs(name, ProcessSettings().environment)
        log_conflicts(os.environ, StorageSettings, ProcessSettings)
    except ValidationError as error:
        configure_logs(name, "production")
        logger.error("%s", describe_invalid(error))
        return EXIT_CONFIGURATION
    heartbeat = _start_heartbeat(name, storage, settings, progress, read_topics(storage))
    try:
        run(storage, settings, progress, stopping)
        return 0
    except ConfigurationError as error:
        progress.set_state("refused")
        logger.error("%s", error)
        return EXIT_CONFIGURATION
    except StreamingError as error:
        if stopping.is_set():
            return 0
        progress.set_state("failed")
        logger.error("%s", error)
        return EXIT_FAILED
    except Exception:
        if stopping.is_set():
            logger.warning("the JVM ended before the stop was complete; the next start repeats the open batch")
            return 0
        progress.set_state("failed")
        logger.exception("the driver failed")
        return EXIT_FAILED
    finally:
        heartbeat.stop()


def catch_signals(stopping: threading.Event) -> None:
    """SIGTERM and SIGINT ask for a stop. To be called again behind a new session: PySpark's own SIGINT handler cancels jobs and raises."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())


def leave(code: int) -> NoReturn:
    """Ends the process. Not sys.exit: py4j's callback threads may wait for a JVM that is gone."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _start_heartbeat(
    name: str, storage: StorageSettings, settings: StreamingSettings, progress: Progress, topics: tuple[str, ...]
) -> HeartbeatThread:
    from storage.control.engine import make_engine
    from storage.control.heartbeats import beat, last_details
    from streaming.kafka_topics import EndOffsetReader

    engine = make_engine(storage, pool_size=1)
    progress.remember(last_details(engine, name))

    def write(details: dict[str, Any]) -> None:
        beat(engine, name, details)

    thread = HeartbeatThread(
        progress,
        beat=write,
        read_ends=EndOffsetReader(storage.kafka_bootstrap_servers, topics).read,
        every_seconds=settings.heartbeat_seconds,
    )
    thread.start()
    return thread
