"""p99 of analytics queries while a writer publishes, against without: readers of the lake must not feel its writer.

Starts its own PostgreSQL, lake and `python -m serving`. Phases with and without the writer alternate, so both sides see the same machine.
The writer promotes a changed build of the newest hour again and again, far more often than the platform does. Every request asks for a
range of its own, so no answer comes from the answer cache. Prints one JSON line; progress goes to stderr.

    python -m benchmarks.api_query [--phases 8] [--seconds 5] [--events-per-hour 10000]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import duckdb
import httpx

from local_stack import child
from local_stack.ports import LOOPBACK, free_port
from local_stack.postgres import create_database, running_postgres
from local_stack.processes import BUILD_NICENESS
from local_stack.waiting import wait_until
from storage.control import migrate
from storage.lake import create_missing_tables
from storage.settings import StorageSettings
from tests.fixtures.lake_writer import LakeWriter, fill_build, make_build_tables

TARGET = 2.0
DAYS = 4
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=DAYS)
PAUSE_SECONDS = 1.0
QUERIES = (
    "events?time_window=5min&hours_back=6",
    "events?time_window=1hr&hours_back=24",
    "users?hours_back=24",
    "top-users?hours_back=24",
    "event-distribution?hours_back=24",
    "platforms?hours_back=24",
)


@dataclass
class Side:
    """The latencies of one side, in milliseconds."""

    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """The latency that `share` of the requests stay below."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def build_hours(writer: LakeWriter, start: datetime, hours: int, events_per_hour: int, extra: int = 0) -> Path:
    """A build file of random events, made by SQL. `extra` adds events to the last hour."""
    path = writer.new_build_file()
    with duckdb.connect(str(path)) as build:
        make_build_tables(build, writer.specs)
        build.execute("select setseed(0.5)")
        build.execute(
            "create temp table staged as select ?::timestamptz + to_microseconds((number * 3600000000 // ?)::bigint) as occurred_at, "
            "'user_' || (10000 * random() * random())::int as user_id, "
            "['view', 'like', 'click', 'comment', 'share'][1 + (random() * 4.9)::int % 5] as event_type, "
            "['web', 'ios', 'android', 'mobile_web'][1 + (random() * 3.9)::int % 4] as platform, "
            "'public' as app_id, 'engagement' as family, (epoch(?::timestamptz)::bigint * 1000000 + number) as kafka_offset "
            "from range(?) as numbers(number)",
            [start, events_per_hour, start, hours * events_per_hour + extra],
        )
        if extra:
            build.execute(
                "update staged set occurred_at = ?::timestamptz + to_milliseconds(kafka_offset % 3600000) where occurred_at >= ?",
                [END - timedelta(hours=1), END],
            )
        fill_build(build)
    return path


def write_until_told(settings: StorageSettings) -> None:
    """The writer process: promotes two builds in turn while its standard input says `go`; answers each line with its count."""
    writer = LakeWriter(settings)
    last_hour = END - timedelta(hours=1)
    builds = [Path(path) for path in json.loads(sys.stdin.readline())]
    going, ended, idle, promoted = threading.Event(), threading.Event(), threading.Lock(), 0

    def listen() -> None:
        for line in sys.stdin:
            (going.set if line.strip() == "go" else going.clear)()
            with idle:  # a promotion under way ends first
                print(promoted, flush=True)
        ended.set()
        going.set()

    threading.Thread(target=listen, daemon=True).start()
    while True:
        going.wait()
        with idle:
            if ended.is_set():
                return
            if going.is_set():
                writer.promote(builds[promoted % 2], [last_hour])
                promoted += 1
        time.sleep(PAUSE_SECONDS)


def ask(client: httpx.Client, side: Side, rng: Random, seconds: float) -> None:
    """One reader in a closed loop."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        until = END - timedelta(microseconds=rng.randrange(3_600_000_000))
        query = QUERIES[len(side.latencies) % len(QUERIES)]
        started = time.perf_counter()
        response = client.get(f"/api/v1/analytics/{query}", params={"until": until.isoformat()} | _query(query))
        side.latencies.append((time.perf_counter() - started) * 1000)
        response.raise_for_status()


def _query(query: str) -> dict[str, str]:
    """The parameters of a query: httpx replaces those of the address by `params`."""
    return dict(part.split("=") for part in query.partition("?")[2].split("&"))


def measure(settings: StorageSettings, phases: int, seconds: float, events_per_hour: int) -> tuple[Side, Side, int]:
    """Both sides, and how many publications were made beside the first one."""
    migrate(settings)
    create_missing_tables(settings)
    writer = LakeWriter(settings)
    print(f"publishing {DAYS * 24 * events_per_hour} events", file=sys.stderr)
    for day in range(DAYS):
        start = START + timedelta(days=day)
        hours = [start + timedelta(hours=hour) for hour in range(24)]
        writer.promote(build_hours(writer, start, 24, events_per_hour), hours)
    last_day = END - timedelta(days=1)
    builds = [build_hours(writer, last_day, 24, events_per_hour, extra) for extra in (500, 1000)]
    writer.engine.dispose()
    environment = {
        **os.environ,
        "TIDEMARK_STORAGE_DATABASE_URL": settings.database_url,
        "TIDEMARK_STORAGE_LAKE_URI": settings.lake_uri,
        "TIDEMARK_STORAGE_BUILDS_DIR": str(settings.builds_dir),
        "TIDEMARK_STORAGE_EXTENSIONS_DIR": str(settings.extensions_dir),
        "TIDEMARK_SERVING_PORT": str(free_port()),
    }
    address = f"http://{LOOPBACK}:{environment['TIDEMARK_SERVING_PORT']}"
    server = subprocess.Popen([sys.executable, "-m", "serving"], env=environment, stdout=sys.stderr)
    # In a session and at a priority of its own, as the stack starts whatever publishes.
    pen = subprocess.Popen(
        child.wrap(
            [sys.executable, "-m", "benchmarks.api_query", "--as-writer"], signal.SIGKILL, niceness=BUILD_NICENESS
        ),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=address, timeout=60) as client:
            return _alternate(client, pen, builds, phases, seconds)
    finally:
        for process in (pen, server):
            process.terminate()
            process.wait(timeout=20)


def _alternate(
    client: httpx.Client, pen: "subprocess.Popen[str]", builds: list[Path], phases: int, seconds: float
) -> tuple[Side, Side, int]:
    def tell(word: str) -> int:
        assert pen.stdin is not None
        assert pen.stdout is not None
        pen.stdin.write(word + "\n")
        pen.stdin.flush()
        return int(pen.stdout.readline())

    def is_up() -> bool:
        try:
            return client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_up, "the analytics API", 60)
    assert pen.stdin is not None
    pen.stdin.write(json.dumps([str(path) for path in builds]) + "\n")
    rng, busy, idle = Random(1), Side(), Side()
    print("warming up", file=sys.stderr)
    tell("go")
    ask(client, Side(), rng, seconds)
    for phase in range(phases):
        tell("pause")
        ask(client, idle, rng, seconds)
        tell("go")
        time.sleep(0.2)
        ask(client, busy, rng, seconds)
        print(
            f"phase {phase + 1}/{phases}: {busy.percentile(0.99):.0f} ms against {idle.percentile(0.99):.0f} ms",
            file=sys.stderr,
        )
    return busy, idle, tell("pause")


def main() -> int:
    """Prints the figure; 1 when it misses its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phases", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--events-per-hour", type=int, default=10_000)
    parser.add_argument("--as-writer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_writer:
        write_until_told(StorageSettings())
        return 0
    with tempfile.TemporaryDirectory() as name, running_postgres(Path(name) / "postgres") as url:
        folder = Path(name)
        settings = StorageSettings(
            database_url=create_database(url, "tidemark"),
            bronze_uri=str(folder / "bronze"),
            lake_uri=str(folder / "lake"),
            builds_dir=folder / "builds",
            extensions_dir=folder / "extensions",
        )
        busy, idle, publications = measure(settings, options.phases, options.seconds, options.events_per_hour)
    ours, other = busy.percentile(0.99), idle.percentile(0.99)
    print(
        f"with writer: {len(busy.latencies)} requests, p50 {busy.percentile(0.5):.1f} ms; without: {len(idle.latencies)}, "
        f"p50 {idle.percentile(0.5):.1f} ms; {publications} publications",
        file=sys.stderr,
    )
    figure = {
        "name": "api_query_p99_ms_with_writer",
        "ours": round(ours, 1),
        "other": round(other, 1),
        "ratio": round(ours / other, 2),
        "target": TARGET,
        "ok": ours / other <= TARGET,
    }
    print(json.dumps(figure))
    return 0 if figure["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
