"""Logs of our processes, one way for all: one JSON object per line in production and in files, colour on a developer's terminal.

What other libraries say through `logging` (uvicorn, kafka) comes out the same way. Tracebacks carry no local variables: these hold keys and
events. A message is constant, what varies is a key beside it; events and keys are never either.
"""

import logging
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

# Said by uvicorn once per hostile request: connections refused are counted in the metrics instead.
_COUNTED = frozenset({"Invalid HTTP request received.", "Unsupported upgrade request.", "Exceeded concurrency limit."})
_QUIET_LOGGERS = ("py4j", "kafka")


class _Forgiving:
    """A stream for lines that may get lost. A full disk must end no thread and fail no request that only wanted to say something."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Writes, or does not."""
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """What cannot be written now may be later."""
        with suppress(OSError):
            self._stream.flush()


def configure_logs(service: str, environment: str, stream: TextIO | None = None) -> None:
    """Sets up structlog and `logging` for this process, on stderr unless told otherwise."""
    target = stream or sys.stderr
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers = _json(service) if environment == "production" or not target.isatty() else _coloured()
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Forgiving(target))),
        cache_logger_on_first_use=stream is None,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(("error", "at"))],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    handler.addFilter(_without_text)
    handler.addFilter(lambda record: record.getMessage() not in _COUNTED)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.WARNING)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def _without_text(record: logging.LogRecord) -> bool:
    """Leaves of a failed request what failed and where: the text of its exception may hold what was sent."""
    if record.name.startswith("uvicorn") and record.exc_info and record.exc_info[0] is not None:
        frames = traceback.extract_tb(record.exc_info[2])
        record.error = record.exc_info[0].__name__
        record.at = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
        record.exc_info = None
    return True


def _json(service: str) -> list[Processor]:
    def name_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    tracebacks = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    return [name_service, tracebacks, structlog.processors.JSONRenderer(sort_keys=False)]


def _coloured() -> list[Processor]:
    return [structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)]
