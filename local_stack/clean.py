"""Removes a home with all its data, also what PostgreSQL keeps elsewhere. Run by `make clean`; refuses while the stack runs."""

import shutil
import sys

from local_stack.postgres import Postgres
from local_stack.settings import StackSettings
from local_stack.status_file import holder_pid


def main() -> None:
    """Removes the home of the settings in the environment. Idempotent."""
    settings = StackSettings()
    if holder_pid(settings) is not None:
        sys.exit(f"a stack runs in {settings.home}; stop it first: tidemark down")
    if settings.environment_file.exists() or settings.lock_file.exists():
        Postgres(settings.home / "postgres", settings.ports.postgres).remove_data()
        shutil.rmtree(settings.home)


if __name__ == "__main__":
    main()
