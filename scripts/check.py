"""`make check`: every check that needs no running service, each by its own tool. All run even when one fails.

The types take as long as all others together, and run beside them. Those go in this order: definitions and tests read dbt's manifest.
"""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
Check = tuple[str, list[str], str]
TYPES: list[Check] = [("mypy", ["mypy"], ".")]
OTHERS: list[Check] = [
    ("ruff format", ["ruff", "format", "--check", "."], "."),
    ("ruff", ["ruff", "check", "."], "."),
    ("import rules", ["lint-imports", "--no-cache"], "."),
    ("dbt parse", ["dbt", "parse", "--profiles-dir", ".", "--quiet", "--warn-error"], "dbt_project"),
    ("sqlfluff", ["sqlfluff", "lint", "dbt_project/models"], "."),
    ("dagster", ["dagster", "definitions", "validate", "-m", "platform_assets.definitions"], "."),
    ("tests collect", ["pytest", "--collect-only", "--quiet"], "."),
]
OUTPUT_LINES = 60


def main() -> int:
    """0 when every check passes."""
    # An empty instance: the project's own names a database, which no check needs.
    with tempfile.TemporaryDirectory() as dagster_home:
        environ = {**os.environ, "DAGSTER_HOME": dagster_home, "DAGSTER_DISABLE_TELEMETRY": "yes"}
        with ThreadPoolExecutor() as lanes:
            found = lanes.map(
                lambda checks: [check[0] for check in checks if not passes(*check, environ)], (OTHERS, TYPES)
            )
            failed = [name for names in found for name in names]
    if failed:
        sys.stdout.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


def passes(name: str, argv: list[str], folder: str, environ: dict[str, str]) -> bool:
    """Runs one check, prints its line, and the end of its output when it fails."""
    started = time.monotonic()
    answer = subprocess.run(
        [str(BIN / argv[0]), *argv[1:]],
        cwd=ROOT / folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    is_ok = answer.returncode == 0
    lines = [f"{name:14} {'ok' if is_ok else 'FAILED':6} {time.monotonic() - started:5.1f} s"]
    if not is_ok:
        lines += answer.stdout.splitlines()[-OUTPUT_LINES:]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return is_ok


if __name__ == "__main__":
    sys.exit(main())
