"""Starts Dagster's code server: first the runs that died with its predecessor are failed, so that their lane is free again.

When this runs, no run of the stack has a living process: the supervisor has killed whatever the last code server left behind.
"""

import os
import subprocess
import sys
from pathlib import Path

from local_stack.ports import LOOPBACK
from local_stack.settings import StackSettings

RECOVERY_TIMEOUT_SECONDS = 60


def main() -> None:
    """Fails dead runs, then becomes the code server, keeping the process id. A failed recovery ends this start: it is tried again."""
    subprocess.run([sys.executable, "-m", "platform_assets.recovery"], check=True, timeout=RECOVERY_TIMEOUT_SECONDS)
    dagster = str(Path(sys.executable).with_name("dagster"))
    address = ["-h", LOOPBACK, "-p", str(StackSettings().ports.code_server)]
    origin = ["-m", "platform_assets.definitions", "--location-name", "tidemark"]
    os.execv(dagster, [dagster, "code-server", "start", *address, *origin])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
