"""Publishes a plan: exactly the bytes that were built and shown, as one publication, or not at all with the reason and what to do.

A plan stays good while other days are published: a day's rows depend on bronze and on that day's hours alone (decision 28). It is refused
when one of its days was published since, or has records that it has not read.
"""

from datetime import UTC, date, datetime

from sqlalchemy import Engine

from storage.bronze import highest_offsets, touched_hours
from storage.comparison import promotion_changes
from storage.control import plans
from storage.control.hours import mark_published
from storage.control.plans import Plan
from storage.lake import create_missing_tables, open_lake
from storage.plan_files import hash_file, manifest_file, remove_files, result_file
from storage.promotion import Candidate, UnexpectedChangesError, promote, writer_lock
from storage.publications import Publication, find, latest
from storage.settings import StorageSettings
from storage.tables import load_table_specs

NAMED_DAYS = 5


class PlanRefusedError(Exception):
    """The plan cannot be applied; the message says why and what to do. Permanent: make the plan again."""


def apply_plan(settings: StorageSettings, engine: Engine, plan_id: int, *, dry_run: bool = False) -> Plan:
    """The plan, applied: its `publication_id` is None when nothing differed. Applying it twice publishes once.

    Raises:
        PlanRefusedError: there is no such plan, it is over, its file was changed, or its days moved on.
    """
    plan = plans.find(engine, plan_id)
    if plan is None:
        raise PlanRefusedError(f"There is no plan {plan_id}. See `tidemark plans list`.")
    if plan.state == "applied":
        return plan
    check_usable(settings, plan, datetime.now(UTC))
    with writer_lock(engine):
        since = _publications_since(settings, plan)
        mine = [publication_id for publication_id, run_id, _ in since if run_id == plan.run_id]
        newest = latest(engine)
        if mine:
            published = find(engine, mine[0])
            _close(settings, engine, plan, mine[0], published.bronze_version if published else plan.bronze_version)
        else:
            _refuse_moved_days(plan, since)
            version = max(plan.bronze_version, newest.bronze_version if newest else -1)
            _refuse_touched_hours(settings, plan, version)
            if dry_run:
                return plan
            _publish(settings, engine, plan, newest, version)
    return plans.find(engine, plan_id) or plan


def check_usable(settings: StorageSettings, plan: Plan, now: datetime) -> None:
    """Raises PlanRefusedError unless the plan is ready, in time, and its file is as it was built."""
    again = f"Make it again: `tidemark plan --from {plan.days[0]} --to …`." if plan.days else "Make it again."
    if plan.state != "ready":
        raise PlanRefusedError(f"Plan {plan.plan_id} is {plan.state}. {again}")
    if plan.expires_at <= now:
        raise PlanRefusedError(f"Plan {plan.plan_id} expired at {plan.expires_at:%Y-%m-%dT%H:%MZ}. {again}")
    file = result_file(settings, plan.plan_id)
    if not file.exists():
        raise PlanRefusedError(f"The file of plan {plan.plan_id} is not here ({file}). {again}")
    if hash_file(file) != plan.file_hash:
        raise PlanRefusedError(f"The file of plan {plan.plan_id} is not the one that was compared ({file}). {again}")


def _publications_since(settings: StorageSettings, plan: Plan) -> list[tuple[int, str, set[date]]]:
    """Publications after the plan's base that cover one of its days: id, run, and those days. The table knows expired ones too."""
    with open_lake(settings) as lake:
        rows = lake.execute(
            "select publication_id, run_id, list_distinct(list_transform(hours, hour -> hour::date)) "
            "from lake.operations.publications where publication_id > ? order by publication_id",
            [plan.base_publication_id or 0],
        ).fetchall()
    found = [(publication_id, run_id, set(days) & set(plan.days)) for publication_id, run_id, days in rows]
    return [item for item in found if item[2]]


def _refuse_moved_days(plan: Plan, since: list[tuple[int, str, set[date]]]) -> None:
    if not since:
        return
    days = sorted({day for _, _, of in since for day in of})
    numbers = ", ".join(str(publication_id) for publication_id, _, _ in since[:NAMED_DAYS])
    raise PlanRefusedError(
        f"Plan {plan.plan_id} was compared with publication {plan.base_publication_id or 'none'}, but {_name(days)} "
        f"{'was' if len(days) == 1 else 'were'} published since (publication {numbers}): it would undo that. "
        f"Make it again and look at the new comparison: `tidemark plan --from {plan.days[0]} --to …`."
    )


def _refuse_touched_hours(settings: StorageSettings, plan: Plan, version: int) -> None:
    """Bronze versions of publications never go back, so the plan must say all about the version that it is published at."""
    if version <= plan.bronze_version:
        return
    hours = set(plan.hours)
    touches = touched_hours(settings, plan.bronze_version, version, landed_until=plan.landed_until)
    touched = sorted({touch.hour.date() for touch in touches if touch.hour in hours})
    if touched:
        raise PlanRefusedError(
            f"Plan {plan.plan_id} has read bronze {plan.bronze_version}, and {_name(touched)} got records since. "
            "Wait until they are published (`tidemark settle`) and make the plan again."
        )


def _publish(settings: StorageSettings, engine: Engine, plan: Plan, newest: Publication | None, version: int) -> None:
    manifest = manifest_file(settings, plan.plan_id)
    specs = load_table_specs(manifest)
    create_missing_tables(settings, manifest)
    candidate = Candidate(
        build_file=result_file(settings, plan.plan_id),
        hours=plan.hours,
        base_publication_id=newest.publication_id if newest else None,
        cause="replay" if newest and newest.code_version == plan.code_version else "code",
        run_id=plan.run_id,
        bronze_version=version,
        highest_offsets=highest_offsets(settings, version),
        code_version=plan.code_version,
        expected_changes=promotion_changes(specs, plan.differences),
    )
    try:
        publication = promote(settings, engine, specs, candidate)
    except UnexpectedChangesError as error:
        raise PlanRefusedError(
            f"Plan {plan.plan_id} no longer changes what it showed. Make it again. ({error})"
        ) from error
    _close(settings, engine, plan, publication.publication_id if publication else None, version)


def _close(settings: StorageSettings, engine: Engine, plan: Plan, publication_id: int | None, version: int) -> None:
    mark_published(engine, plan.hours, version, plan.run_id)
    plans.mark_applied(engine, plan.plan_id, publication_id)
    remove_files(settings, plan.plan_id)


def _name(days: list[date]) -> str:
    named = ", ".join(day.isoformat() for day in days[:NAMED_DAYS])
    return named if len(days) <= NAMED_DAYS else f"{named} and {len(days) - NAMED_DAYS} more days"
