"""`make check`: every check that needs no running service, each by its own tool. All run even when one fails."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKS: list[tuple[str, list[str], str]] = [
    ("ruff format", ["ruff", "format", "--check", "."], "."),
    ("ruff", ["ruff", "check", "."], "."),
    ("mypy", ["mypy"], "."),
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
        failed = [name for name, argv, folder in CHECKS if not passes(name, argv, folder, environ)]
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
    sys.stdout.write(f"{name:14} {'ok' if is_ok else 'FAILED':6} {time.monotonic() - started:5.1f} s\n")
    if not is_ok:
        sys.stdout.write("\n".join(answer.stdout.splitlines()[-OUTPUT_LINES:]) + "\n")
    sys.stdout.flush()
    return is_ok


if __name__ == "__main__":
    sys.exit(main())
