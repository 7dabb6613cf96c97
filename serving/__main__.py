"""`python -m serving`: runs the analytics API until SIGTERM or Ctrl-C. The only place that reads the environment."""

import sys

import structlog
import uvicorn

from serving.app import create_app
from serving.settings import ServingSettings
from storage.control.token_settings import TokenSettings
from storage.control.tokens import make_tokens
from storage.settings import StorageSettings

GRACE_SECONDS = 10


def configure_logs(environment: str) -> None:
    """JSON lines in production, colour on a terminal in development; to stderr."""
    is_json = environment == "production" or not sys.stderr.isatty()
    renderer = structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if is_json else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main() -> None:
    """Serves."""
    settings = ServingSettings()
    configure_logs(settings.environment)
    uvicorn.run(
        create_app(settings, StorageSettings(), tokens=make_tokens(TokenSettings())),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )


if __name__ == "__main__":
    main()
