"""A supervisor over tiny processes, as a program: `python -m tests.integration.local_stack.dummy_stack HOME TABLE`."""

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

from local_stack.health import Alive
from local_stack.process_spec import ProcessSpec
from local_stack.settings import StackSettings
from local_stack.status_file import take_lock
from local_stack.supervisor import Supervisor

SLEEP = "import time; time.sleep(600)"
# A child in a session of its own, as Dagster's run workers and Spark's JVM are, that has a child itself.
TREE = f"""
import subprocess, sys, time
inner = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", inner], start_new_session=True)
time.sleep(600)
"""
CRASH_ONCE = """
import pathlib, sys, time
flag = pathlib.Path(sys.argv[1])
if not flag.exists():
    flag.touch()
    sys.exit("crashed on purpose")
time.sleep(600)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def build_table(name: str, home: Path) -> list[ProcessSpec]:
    """The processes of one test."""

    def python(
        process: str, code: str, *arguments: str, after: tuple[str, ...] = (), is_task: bool = False
    ) -> ProcessSpec:
        argv = (sys.executable, "-c", code, *arguments)
        return ProcessSpec(
            process, argv, home, health=Alive(0.1), after=after, is_task=is_task, stop_timeout_seconds=1.5
        )

    return {
        "tree": [python("base", SLEEP), python("tree", TREE, after=("base",))],
        "crash_once": [python("flaky", CRASH_ONCE, str(home / "flag"))],
        "loop": [replace(python("loop", "import sys; sys.exit('always')"), health=Alive(30))],
        "deaf": [python("base", DEAF), python("top", DEAF, after=("base",))],
        "failing_task": [python("task", "import sys; sys.exit('no')", is_task=True), python("base", SLEEP)],
    }[name]


def main() -> int:
    """Supervises until stopped."""
    logging.basicConfig(level=logging.INFO)
    home, table = Path(sys.argv[1]), sys.argv[2]
    settings = StackSettings(home=home)
    with take_lock(settings, os.getpid()):
        settings.logs_dir.mkdir(parents=True, exist_ok=True)
        return Supervisor(settings, build_table(table, home), dict(os.environ)).run()


if __name__ == "__main__":
    sys.exit(main())
