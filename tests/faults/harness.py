"""One run: a producer of good events, one of downloads, one of poison, and a reader beside the faults; then heal, drain, and the verdict.

Without faults it must pass as well.
"""

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import psutil

from tests.e2e.inlet_load import InletLoad
from tests.e2e.stack import CommandError
from tests.faults.nemesis import Fault, Nemesis
from tests.faults.poison import PoisonProducer
from tests.faults.producer import Mix, VerifiableProducer
from tests.faults.reader import ConcurrentReader
from tests.faults.stack import FaultStack
from tests.faults.verdict import Verdict, judge

ANSWER_SECONDS = 120.0
DRAIN_SECONDS = 600.0
LIMIT_SECONDS = 1800.0
MINUTES_OF_A_DAY = 24 * 60


def run_faults(
    faulty: FaultStack,
    schedule: Sequence[Fault],
    folder: Path,
    *,
    seed: int,
    mix: Mix,
    calm_seconds: float = 0.0,
    progress: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """The verdict; a fault that is not healed in time, a client that is not answered, or a drain that does not end is its `problem`.

    `folder` gets the journal, to which earlier runs on the same stack have added. `calm_seconds`: how long to go on without faults
    before the first one; with a limit in the mix, until that is sent.
    """
    stack = faulty.stack
    producer = VerifiableProducer(
        stack.endpoints["ingestion"], stack.endpoints["write_key"], folder, seed=seed, mix=mix
    )
    reader = ConcurrentReader(stack.endpoints["analytics"], stack.endpoints["read_key"])
    nemesis = Nemesis(stack, faulty.crash_points_dir, faulty.disk, progress)
    poison = PoisonProducer(stack.endpoints["kafka"], mix.rate * mix.poison)
    # Names and hours of its own: the producer's events are told by theirs.
    downloads = InletLoad(stack, f"download-{seed}", seed % MINUTES_OF_A_DAY)
    producer.start()
    poison.start()
    reader.start()
    problem = ""
    try:
        if mix.limit is None:
            time.sleep(calm_seconds)
        else:
            producer.wait(LIMIT_SECONDS)
        nemesis.run(schedule)
    except (CommandError, AssertionError, subprocess.SubprocessError, httpx.HTTPError, psutil.Error) as error:
        problem = repr(error)
        progress(f"the faults end here: {problem}")
    for what, end in (
        ("waiting for the last answers", lambda: producer.finish(ANSWER_SECONDS)),
        ("ending the client that sends poison", poison.finish),
        ("ending the client of the inlet", downloads.finish),
        ("draining", lambda: stack.settle(DRAIN_SECONDS)),
        ("ending the reader", reader.finish),
    ):
        try:
            progress(what)
            end()
        except (AssertionError, subprocess.SubprocessError) as error:
            problem = f"{problem}; {error!r}" if problem else repr(error)
    try:
        verdict = judge(stack, folder, producer.app_id, seed, nemesis.injected, reader.readings)
        verdict.downloads = downloads.published()
    except Exception as error:
        error.add_note(f"what went wrong before: {problem or 'nothing'}")
        raise
    verdict.refused = producer.refused_count
    verdict.problem = problem
    return verdict
