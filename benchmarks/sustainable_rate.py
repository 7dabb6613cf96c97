"""The highest rate that the whole platform keeps up with, found by bisection, beside the rate of ingestion alone in the same run.

Everything runs: API, broker, landing, live windows, hot store, builds, readers' API. A rate is kept when batches are acknowledged within
a second of being due (95 % of them), no stage falls behind (the mean lag of the second half of the events is above that of the first by
no more than GROWTH_SECONDS), and everything is landed, in the hot store, counted and published PUBLISHED_SECONDS after the last event.
Ingestion alone: the same batches as fast as they are answered, with landing, windows, hot store and Dagster stopped (SIGSTOP), so that
the two have the same broker. The bisection is geometric, from FLOOR to ingestion alone. Prints one JSON line, 0 when no rate that was
tried was kept; the goal is a quarter. Nothing may be lost at any rate: `tidemark verify` at the end.

Environment: TIDEMARK_BENCH_SECONDS of each try (default 60), TIDEMARK_BENCH_TRIES (default 5).
"""

import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.figures import report
from benchmarks.stages import percentile, watched_stages
from benchmarks.sustained_load import BATCH, make_batch, send
from tests.e2e.stack import Stack, free_port_offset
from tests.e2e.victims import signal_tree

SECONDS = int(os.environ.get("TIDEMARK_BENCH_SECONDS", "60"))
TRIES = int(os.environ.get("TIDEMARK_BENCH_TRIES", "5"))
FLOOR = 1_000
DRAIN_SECONDS = 600
GOAL = 0.25
# A stage that handles 1/r of what comes is T/2 * (r - 1) farther behind in the second half of T seconds: a twentieth of T is a tenth too
# slow. A batch of the live windows may take seconds, and where in it the halves part is chance. Gold comes by a build or two: its end
# tells.
GROWTH_SECONDS = {"bronze": SECONDS / 20, "hot": SECONDS / 20, "live": SECONDS / 12}
PUBLISHED_SECONDS = 120.0
PAUSED = ("land_bronze", "realtime_windows", "hot_store_worker_1", "hot_store_worker_2", "daemon", "code_server")


@contextmanager
def paused(stack: Stack) -> Iterator[None]:
    """Everything behind the broker stands still."""
    pids = [item["pid"] for name, item in stack.processes().items() if name in PAUSED]
    for pid in pids:
        signal_tree(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            signal_tree(pid, signal.SIGCONT)


def ingestion_alone(stack: Stack, phase: str, seconds: float) -> float:
    """Events a second in a closed loop of four connections."""
    counts: list[int] = []
    until = time.monotonic() + seconds
    headers = {"Authorization": f"Bearer {stack.endpoints['write_key']}", "Content-Type": "application/x-ndjson"}

    def work(number: int) -> None:
        with httpx.Client(base_url=stack.endpoints["ingestion"], headers=headers, timeout=30) as client:
            first = 0
            while time.monotonic() < until:
                answer = client.post("/v1/batch", content=make_batch(f"{phase}-{number}", first))
                if answer.status_code == 202:
                    counts.append(BATCH)
                first += BATCH

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def keeps_up(stack: Stack, rate: int) -> bool:
    """Whether the platform bears the rate; it has settled before and after."""
    answers: list[float] = []
    # It repeats what is not answered: it must not outlive a run that fails.
    sender = threading.Thread(target=send, args=(stack, f"rate-{rate}", rate, SECONDS, answers), daemon=True)
    sender.start()
    with watched_stages(stack.storage_settings()) as stages:
        stages.watch(lambda: not sender.is_alive())
        ended = time.monotonic()
        stages.drain(DRAIN_SECONDS)
        published = time.monotonic() - ended
    growth = {name: marks.growth() for name, marks in stages.named().items() if name in GROWTH_SECONDS}
    acknowledged = percentile(answers, 95)
    is_flat = all(growth[name] <= limit for name, limit in GROWTH_SECONDS.items())
    is_kept = acknowledged <= 1 and is_flat and published <= PUBLISHED_SECONDS
    print(
        f"{rate}/s: {'kept' if is_kept else 'not kept'}; acknowledged {acknowledged:.2f} s after due (p95), published {published:.0f} s "
        "after the last; farther behind in its second half: "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in growth.items()),
        file=sys.stderr,
        flush=True,
    )
    stack.settle(DRAIN_SECONDS)
    return is_kept


def main() -> int:
    """The figure; exit 1 when the goal is missed or anything is lost."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder) / "home", free_port_offset())
        try:
            stack.up()
            return measure(stack)
        finally:
            stack.down()


def measure(stack: Stack) -> int:
    """Alone, bisection, alone again: the machine's speed changes."""
    warm: list[float] = []
    send(stack, "warm", 2000, 20, warm)
    stack.settle(300)
    alone = []
    with paused(stack):
        alone.append(ingestion_alone(stack, "alone-before", 5))
    stack.settle(DRAIN_SECONDS)
    kept, low, high = 0, FLOOR, int(alone[0])
    for _ in range(TRIES):
        rate = max(BATCH, round((low * high) ** 0.5 / BATCH) * BATCH)
        if keeps_up(stack, rate):
            kept = low = rate
        else:
            high = rate
    with paused(stack):
        alone.append(ingestion_alone(stack, "alone-after", 5))
    stack.settle(DRAIN_SECONDS)
    stack.verify()
    both = statistics.mean(alone)
    return 0 if report("sustainable_rate", kept, both, GOAL, "higher", "events/s of ingestion alone") else 1


if __name__ == "__main__":
    sys.exit(main())
