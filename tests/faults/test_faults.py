"""The short run of `make faults`, part of `make test-slow`: without faults first, then every target killed, paused and let die under load.

A seed that fails here is run alone by `make faults FAULT_SEED=SEED FAULT_ROUNDS=ROUNDS`.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.faults.harness import run_faults
from tests.faults.nemesis import make_schedule
from tests.faults.producer import Mix
from tests.faults.stack import FaultStack
from tests.faults.verdict import Verdict, print_verdict

SEED = int(os.environ.get("FAULT_SEED", "20261125"))
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
RATE = 300.0

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(5400)]


def report(verdict: Verdict) -> None:
    """Prints the verdict; the test fails with it when it is not ok."""
    sys.stdout.write(print_verdict(verdict) + "\n")
    assert verdict.ok, print_verdict(verdict)


def say(text: str) -> None:
    """Progress, shown when the test fails."""
    sys.stderr.write(f"{text}\n")


def test_without_faults_everything_is_there_once(faulty: FaultStack, journal_dir: Path) -> None:
    verdict = run_faults(faulty, (), journal_dir, seed=SEED, mix=Mix(RATE), calm_seconds=15, progress=say)
    report(verdict)


@pytest.mark.feature("S0-5", "S0-10", "S1-F3", "K3", "K10")
def test_under_faults_nothing_is_lost_double_or_invented(faulty: FaultStack, journal_dir: Path) -> None:
    schedule = make_schedule(SEED, ROUNDS, disk=faulty.disk is not None)
    verdict = run_faults(faulty, schedule, journal_dir, seed=SEED + 1, mix=Mix(RATE), progress=say)
    report(verdict)
    assert len(verdict.faults) == len(schedule)
