"""Fails runs whose process is gone, so that the next tick may ask for their hours again: `python -m platform_assets.recovery [RUN_ID…]`.

What starts runs calls it: at its own start for all runs, because nobody else sees that one died together with its parent and it would
stay STARTED for ever and hold its lane; later for a run whose process ended badly. At the start it also makes the pool of builds known,
which Dagster does not limit before its second look at the queue.
"""

import json
import sys
from collections.abc import Sequence

import dagster as dg
import psutil
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from platform_assets.settings import BUILDS_POOL

PID_LABEL = "pid"
CLOCK_SLACK_SECONDS = 5.0


def fail_dead_runs(instance: dg.DagsterInstance, run_ids: Sequence[str] = ()) -> list[str]:
    """Ids of the runs, of all or of the given ones, that it marked failed: under way by the books, without a living process. Idempotent."""
    failed = []
    for run in instance.get_runs(dg.RunsFilter(run_ids=list(run_ids) or None, statuses=IN_PROGRESS_RUN_STATUSES)):
        if not _has_process(instance, run.run_id):
            instance.report_run_failed(run, "The process of this run died. Its hours stay dirty and are built again.")
            failed.append(run.run_id)
    return failed


def _has_process(instance: dg.DagsterInstance, run_id: str) -> bool:
    """True when the process that the launcher reported for the run still lives; a reused pid started too late to be it."""
    for record in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = record.dagster_event
        pid = event.engine_event_data.metadata.get(PID_LABEL) if event else None
        if pid is None:
            continue
        try:
            process = psutil.Process(int(str(pid.value)))
        except psutil.NoSuchProcess:
            continue
        if process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= record.timestamp + CLOCK_SLACK_SECONDS:
            return True
    return False


def main() -> None:
    """Prints the ids as JSON."""
    with dg.DagsterInstance.get() as instance:
        if not sys.argv[1:] and BUILDS_POOL not in instance.event_log_storage.get_concurrency_keys():
            instance.event_log_storage.initialize_concurrency_limit_to_default(BUILDS_POOL)
        json.dump(fail_dead_runs(instance, sys.argv[1:]), sys.stdout)


if __name__ == "__main__":
    main()
