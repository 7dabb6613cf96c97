"""`python -m tests.faults`: the long run. Brings up a stack of its own, prints one JSON verdict, exit 1 when it is not ok."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.e2e.stack import free_port_offset
from tests.faults.harness import run_faults
from tests.faults.nemesis import make_schedule
from tests.faults.producer import Mix
from tests.faults.stack import fault_stack
from tests.faults.verdict import print_verdict


def main() -> int:
    """0 when nothing was lost, double or invented, and everything was back in time."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description="Proof under faults on a stack of its own."
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same schedule and events")
    parser.add_argument("--rounds", type=int, default=50, help="kills of each target")
    parser.add_argument(
        "--flood", type=int, default=1_000_000, help="events after the faults, 10 %% of them up to 7 days late"
    )
    parser.add_argument("--rate", type=float, default=500.0, help="events per second")
    parser.add_argument("--recovery-seconds", type=float, default=30.0, help="what is killed must be back within this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemark-faults-") as folder:
        home = Path(folder)
        points = home / "crash_points"
        with fault_stack(home / "stack", free_port_offset(), points) as faulty:
            schedule = make_schedule(arguments.seed, arguments.rounds, disk=faulty.disk is not None)
            steady, flood = (
                Mix(arguments.rate),
                Mix(0, late=0.1, late_hours=168, batch_events=500, limit=arguments.flood),
            )
            for number, (faults, mix) in enumerate((((), steady), (schedule, steady), ((), flood))):
                verdict = run_faults(
                    faulty,
                    faults,
                    home / "journal",
                    seed=arguments.seed * 3 + number,
                    mix=mix,
                    calm_seconds=20,
                    progress=lambda text: print(text, file=sys.stderr, flush=True),
                )
                print(print_verdict(verdict), flush=True)
                if not verdict.ok:
                    return 1
                if verdict.slowest_return_seconds > arguments.recovery_seconds:
                    print(f"what was killed was not back within {arguments.recovery_seconds} s", file=sys.stderr)
                    return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
