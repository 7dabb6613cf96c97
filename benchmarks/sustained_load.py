"""A sustained load through HTTP with everything running: 5,000 events a second for 3 minutes by default (RATE, SECONDS as arguments).

Figures, each against its limit: events missing in the end (0), the 99th percentile of a batch's acknowledgement (1 s) and of an event's
way into the hot store (2 s), p95 of how far bronze, the live windows and gold are behind in seconds (3, 10, 60), the growth of the lag
of bronze and of the live windows over the run (1, 3 s), and resident memory of all processes in GiB (6).
How far behind: see benchmarks.stages.
Measured on 2 cores: see docs/benchmarks.md.
"""

import json
import math
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.figures import report
from benchmarks.stages import Stages, percentile, watched_stages
from local_stack.settings import StackSettings
from tests.e2e.stack import Stack, free_port_offset

BATCH = 500
GOLD_DRAIN_SECONDS = 120


def make_batch(phase: str, first: int) -> bytes:
    """NDJSON of one batch: engagement events that occur now."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return b"\n".join(
        json.dumps(
            {
                "event_id": f"{phase}-{number}",
                "event_type": ("view", "like", "click", "share")[number % 4],
                "user_id": f"user-{number % 10_000}",
                "platform": ("web", "ios", "android")[number % 3],
                "timestamp": now,
                "content_id": f"content-{number % 1000}",
            }
        ).encode()
        for number in range(first, first + BATCH)
    )


def send(stack: Stack, phase: str, rate: int, seconds: int, answers: list[float]) -> None:
    """Posts batches at a steady pace, again until acknowledged; notes for each how long after it was due that was."""
    headers = {"Authorization": f"Bearer {stack.endpoints['write_key']}", "Content-Type": "application/x-ndjson"}
    started = time.monotonic()
    with httpx.Client(base_url=stack.endpoints["ingestion"], headers=headers, timeout=30) as client:
        for index in range(rate * seconds // BATCH):
            due = started + index * BATCH / rate
            time.sleep(max(0.0, due - time.monotonic()))
            body = make_batch(phase, index * BATCH)
            while not is_taken(client, body):
                time.sleep(0.5)
            answers.append(time.monotonic() - due)


def is_taken(client: httpx.Client, body: bytes) -> bool:
    """Whether the batch is acknowledged; without an answer it may have been taken, and goes again with the same ids."""
    try:
        return client.post("/v1/batch", content=body).status_code == 202
    except httpx.TransportError as error:
        print(f"no answer: {error!r}", file=sys.stderr, flush=True)
        return False


def main() -> int:
    """All figures; exit 1 when one misses its limit."""
    rate, seconds = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) == 3 else (5000, 180)
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder) / "home", free_port_offset())
        try:
            stack.up()
            return measure(stack, rate, seconds)
        finally:
            stack.down()


def measure(stack: Stack, rate: int, seconds: int) -> int:
    """Runs the load and reports."""
    # Warm-up: the first batches of Spark, the first build, and the docs that follow it once.
    warm_up: list[float] = []
    send(stack, "warm", rate, 10, warm_up)
    stack.settle(300)
    send(stack, "warm-again", rate, 20, warm_up)
    answers: list[float] = []
    before = visible_counts(stack)
    # It repeats what is not answered: it must not outlive a run that fails.
    sender = threading.Thread(target=send, args=(stack, "load", rate, seconds, answers), daemon=True)
    sender.start()
    memory: list[float] = []
    deadline = time.monotonic() + seconds + GOLD_DRAIN_SECONDS

    def is_over(stages: Stages) -> bool:
        if len(memory) * 20 < time.monotonic() - (deadline - seconds - GOLD_DRAIN_SECONDS):
            memory.append(stack.status()["memory_mebibytes"] / 1024)
            behind = ", ".join(f"{name} {marks.newest()}" for name, marks in stages.named().items())
            print(f"{len(stages.bronze.lags)} marks, newest behind: {behind}", file=sys.stderr, flush=True)
        if not sender.is_alive():
            return True
        return time.monotonic() > deadline

    with watched_stages(stack.storage_settings()) as stages:
        stages.watch(lambda: is_over(stages))
        sender.join()
        stages.drain(GOLD_DRAIN_SECONDS)
    stack.settle(300)
    verdict = stack.verify()
    visible = {bound: count - before.get(bound, 0.0) for bound, count in visible_counts(stack).items()}
    lost = (len(warm_up) + len(answers)) * BATCH - verdict["counts"]["silver"]
    results = [
        report("load_events_lost", lost, 1, 0, "lower", "events", sent=len(answers) * BATCH, rate_per_second=rate),
        report("load_acknowledged_p99", percentile(answers, 99), 1, 1, "lower", "seconds"),
        report("load_hot_store_p99", bound_of(visible, 0.99), 2, 1, "lower", "seconds, upper bound of its bucket"),
        report("load_bronze_behind_p95", stages.bronze.percentile_95(), 3, 1, "lower", "seconds"),
        report("load_bronze_lag_growth", stages.bronze.growth(), 1, 1, "lower", "seconds from first to second half"),
        report("load_live_windows_behind_p95", stages.live.percentile_95(), 10, 1, "lower", "seconds"),
        report(
            "load_live_windows_lag_growth", stages.live.growth(), 3, 1, "lower", "seconds from first to second half"
        ),
        report("load_gold_behind_p95", stages.gold.percentile_95(), 60, 1, "lower", "seconds"),
        report("load_resident_memory", max(memory), 6, 1, "lower", "GiB"),
    ]
    return 0 if all(results) else 1


def visible_counts(stack: Stack) -> dict[float, float]:
    """Events in the hot store so far, by the upper bound of the seconds that it took them; both workers."""
    counts: dict[float, float] = {}
    ports = StackSettings(home=stack.home, port_offset=stack.port_offset).ports
    for port in (ports.hot_store_worker_1, ports.hot_store_worker_2):
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "tidemark_hot_store_visible_seconds_bucket":
                    bound = float(sample.labels["le"])
                    counts[bound] = counts.get(bound, 0.0) + sample.value
    return counts


def bound_of(counts: dict[float, float], share: float) -> float:
    """The smallest bound below which that share of all lies; `counts` are cumulative."""
    total = counts[math.inf]
    return min(bound for bound, count in counts.items() if count >= share * total)


if __name__ == "__main__":
    sys.exit(main())
