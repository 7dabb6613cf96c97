"""`make bench`: runs every benchmark, one after the other, each in a process of its own. Exit 1 when a figure misses its target.

`python -m benchmarks NAME…` runs some. Figures go to stdout as JSON lines, talk to stderr.
"""

import subprocess
import sys

NAMES = (
    "event_decode",
    "ingestion_ndjson",
    "ingestion_single",
    "bronze_landing",
    "bronze_compaction",
    "live_windows",
    "refresh_hour",
    "refresh_growth",
    "api_query",
    "avro_size",
    "hot_path",
    "sustained_load",
    "sustainable_rate",
    "overload",
)


def main() -> int:
    """The worst exit code of all."""
    worst = 0
    for name in sys.argv[1:] or NAMES:
        print(f"benchmark {name}…", file=sys.stderr, flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
