"""`python -m serving`: runs the analytics API until SIGTERM or Ctrl-C. The only place that reads the environment."""

import os

import uvicorn

from runtime.aliases import log_conflicts
from runtime.logs import configure_logs
from runtime.settings import exit_on_invalid_settings
from serving.app import create_app
from serving.settings import ServingSettings
from storage.control.token_settings import TokenSettings
from storage.control.tokens import make_tokens
from storage.settings import StorageSettings

GRACE_SECONDS = 10


def main() -> None:
    """Serves."""
    with exit_on_invalid_settings():
        settings, storage, tokens = ServingSettings(), StorageSettings(), TokenSettings()
    configure_logs("analytics", settings.environment)
    log_conflicts(os.environ, ServingSettings, StorageSettings)
    uvicorn.run(
        create_app(settings, storage, tokens=make_tokens(tokens)),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )


if __name__ == "__main__":
    main()
