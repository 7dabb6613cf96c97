"""The highest rate that the whole platform keeps up with, found by bisection, beside the rate of ingestion alone in the same run.

Everything runs: API, broker, landing, live windows, hot store, builds, readers' API. A rate is kept when after the warm-up every batch is
acknowledged within a second of being due (95 % of them), and bronze is at most a second farther behind in the second half than in the
first. Ingestion alone: the same batches as fast as they are answered, with landing, windows, hot store and Dagster stopped (SIGSTOP), so
that the two have the same broker. Prints one JSON line, 0 when no rate that was tried was kept; the goal is a quarter. Nothing may be
lost at any rate: `tidemark verify` at the end.

Environment: TIDEMARK_BENCH_SECONDS of each try (default 40), TIDEMARK_BENCH_TRIES (default 6).
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
from benchmarks.sustained_load import BATCH, Marks, landed, make_batch, percentile_95, send
from storage.settlement import read_end_offsets
from tests.e2e.stack import Stack, free_port_offset
from tests.e2e.victims import signal_tree

SECONDS = int(os.environ.get("TIDEMARK_BENCH_SECONDS", "40"))
TRIES = int(os.environ.get("TIDEMARK_BENCH_TRIES", "6"))
GOAL = 0.25
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
    settings = stack.storage_settings()
    answers: list[float] = []
    sender = threading.Thread(target=send, args=(stack, f"rate-{rate}", rate, SECONDS, answers))
    bronze = Marks()
    sender.start()
    while sender.is_alive():
        ends = read_end_offsets(settings, (settings.live_topic,)).get(settings.live_topic, {})
        bronze.pending.append((time.monotonic(), ends))
        bronze.cover(landed(settings), time.monotonic())
        time.sleep(0.5)
    now = time.monotonic()
    lags = bronze.lags + [now - moment for moment, _ in bronze.pending]
    half = len(lags) // 2
    growth = statistics.mean(lags[half:]) - statistics.mean(lags[:half])
    slowest = percentile_95(answers)
    is_kept = slowest <= 1 and growth <= 1
    print(
        f"{rate}/s: acknowledged {slowest:.2f} s after due (p95), bronze's lag grew by {growth:.1f} s: "
        f"{'kept' if is_kept else 'not kept'}",
        file=sys.stderr,
        flush=True,
    )
    stack.settle(600)
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
    stack.settle(600)
    low, high = 0, int(alone[0])
    for _ in range(TRIES):
        rate = max(BATCH, (low + high) // 2 // BATCH * BATCH)
        if keeps_up(stack, rate):
            low = rate
        else:
            high = rate
    with paused(stack):
        alone.append(ingestion_alone(stack, "alone-after", 5))
    stack.settle(600)
    stack.verify()
    return (
        0
        if report("sustainable_rate", low, statistics.mean(alone), GOAL, "higher", "events/s of ingestion alone")
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
