"""When a plan may be applied and when it is refused, on a real lake. Its build is made by hand; by dbt: platform_assets/test_plans.py."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest

from storage import publications
from storage.comparison import compare
from storage.control import plans
from storage.control.plans import Plan
from storage.lake import DEFAULT_MANIFEST
from storage.maintenance import plan_expiry
from storage.plan_application import PlanRefusedError, apply_plan
from storage.plan_files import drop_plan, hash_file, manifest_file, plan_folder, remove_expired_plans, result_file
from storage.promotion import promote
from tests.fixtures.bronze_rows import engagement_row, write_bronze
from tests.fixtures.lake_writer import Event, LakeWriter

pytestmark = pytest.mark.integration
T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = datetime.now(UTC)


@pytest.fixture
def writer(shared_writer: LakeWriter) -> LakeWriter:
    return shared_writer


def publish(writer: LakeWriter, day: datetime, *, touched: datetime | None = None, user_id: str = "u1") -> int:
    """One more event, landed in bronze as one commit (of another hour where given) and published; its publication."""
    write_bronze(writer.settings.bronze_uri, [engagement_row(len(writer.events), touched or day)])
    return writer.publish([Event(day, user_id=user_id)]).publication_id


def make(writer: LakeWriter, day: datetime, *more: Event, state: str = "ready") -> Plan:
    """A plan of that day, built from what is published of it and these events."""
    settings, engine = writer.settings, writer.engine
    hours = tuple(day.replace(hour=hour) for hour in range(24))
    known = [(offset, event) for offset, event in enumerate(writer.events) if event.hour in hours]
    base = publications.current_base(engine)
    plan = plans.open_plan(
        engine,
        fingerprint="by hand",
        hours=hours,
        base_publication_id=base.publication_id,
        base_snapshot_id=base.snapshot_id,
        bronze_version=base.publication.bronze_version if base.publication else 0,
        landed_until=None,
        code_version="changed",
        expires_at=NOW + 7 * DAY,
    )
    file = result_file(settings, plan.plan_id)
    manifest_file(settings, plan.plan_id).parent.mkdir(parents=True)
    shutil.copy2(DEFAULT_MANIFEST, manifest_file(settings, plan.plan_id))
    shutil.copy2(writer.build([*known, *((1_000_000 + index, event) for index, event in enumerate(more))]), file)
    differences = compare(settings, writer.specs, file, hours, base.snapshot_id)
    if state == "ready":
        plans.mark_ready(engine, plan.plan_id, hash_file(file), differences)
    found = plans.find(engine, plan.plan_id)
    assert found is not None
    return found


def apply(writer: LakeWriter, plan: Plan, *, dry_run: bool = False) -> Plan:
    return apply_plan(writer.settings, writer.engine, plan.plan_id, dry_run=dry_run)


def newest_id(writer: LakeWriter) -> int:
    newest = publications.latest(writer.engine)
    assert newest is not None
    return newest.publication_id


@pytest.mark.feature("S4-16")
def test_a_plan_stays_good_while_other_days_are_published_and_is_published_once(writer: LakeWriter) -> None:
    day = T0
    publish(writer, day)
    plan = make(writer, day, Event(day, user_id="u2"))
    elsewhere = publish(writer, day + 9 * DAY)
    assert apply(writer, plan, dry_run=True) == plan
    assert newest_id(writer) == elsewhere, "a dry run publishes nothing"
    applied = apply(writer, plan)
    newest = publications.latest(writer.engine)
    assert newest is not None
    assert (applied.state, applied.publication_id) == ("applied", newest.publication_id)
    assert newest.changes["silver.events"] == {"added": 1, "removed": 0}
    assert (newest.cause, newest.base_publication_id, newest.bronze_version) == ("code", elsewhere, len(writer.events))
    assert apply(writer, plan) == applied
    assert not plan_folder(writer.settings, plan.plan_id).exists(), "nothing needs it any more"
    assert newest_id(writer) == newest.publication_id


def test_a_crash_between_publishing_and_noting_it_is_mended_by_the_next_try(
    writer: LakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = T0 + 20 * DAY
    before = publish(writer, day)
    plan = make(writer, day, Event(day, user_id="u2"))

    def promote_and_die(*arguments: object, **named: object) -> None:
        promote(*arguments, **named)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("storage.plan_application.promote", promote_and_die)
        apply(writer, plan)
    found = plans.find(writer.engine, plan.plan_id)
    assert found is not None
    assert found.state == "ready"
    assert apply(writer, plan).publication_id == before + 1
    assert newest_id(writer) == before + 1


@pytest.mark.feature("S4-16")
def test_a_plan_whose_day_was_published_since_is_refused_by_name(writer: LakeWriter) -> None:
    day = T0 + 40 * DAY
    publish(writer, day)
    plan = make(writer, day, Event(day, user_id="u2"))
    since = publish(writer, day, user_id="u3")
    with pytest.raises(
        PlanRefusedError, match=rf"{day:%Y-%m-%d} was published since \(publication {since}\).*tidemark plan"
    ):
        apply(writer, plan)
    assert newest_id(writer) == since


def test_a_plan_that_lacks_records_that_a_publication_may_have_read_is_refused(writer: LakeWriter) -> None:
    day = T0 + 60 * DAY
    publish(writer, day)
    plan = make(writer, day, Event(day, user_id="u2"))
    publish(writer, day + 9 * DAY, touched=day)
    with pytest.raises(PlanRefusedError, match=f"{day:%Y-%m-%d} got records since"):
        apply(writer, plan)


def test_a_plan_is_refused_when_it_is_over_unfinished_changed_or_unknown(writer: LakeWriter) -> None:
    day = T0 + 80 * DAY
    before = publish(writer, day)
    equal = make(writer, day)
    assert equal.differences == ()
    assert (apply(writer, equal).state, newest_id(writer)) == ("applied", before), (
        "nothing differs: nothing is published"
    )
    changed = make(writer, day)
    file = result_file(writer.settings, changed.plan_id)
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(PlanRefusedError, match="not the one that was compared"):
        apply(writer, changed)
    dropped, unfinished = make(writer, day), make(writer, day, state="building")
    for _ in range(2):
        drop_plan(writer.settings, writer.engine, dropped.plan_id)
    for plan, said in ((dropped, "is dropped"), (unfinished, "is building")):
        with pytest.raises(PlanRefusedError, match=said):
            apply(writer, plan)
    with pytest.raises(PlanRefusedError, match="There is no plan 999"):
        apply_plan(writer.settings, writer.engine, 999)
    assert remove_expired_plans(writer.settings, writer.engine, NOW) == []
    over = NOW + 8 * DAY
    assert {changed.plan_id, unfinished.plan_id} <= set(remove_expired_plans(writer.settings, writer.engine, over))
    assert not plan_folder(writer.settings, changed.plan_id).exists()
    assert remove_expired_plans(writer.settings, writer.engine, over) == []
    with pytest.raises(PlanRefusedError, match="is expired"):
        apply(writer, changed)


@pytest.mark.feature("S4-16")
def test_what_a_plan_is_built_from_is_kept_until_it_is_ready_and_its_files_until_it_is_applied(
    writer: LakeWriter,
) -> None:
    # Regression: retention expired the base under a plan that took longer than an hour; files of applied plans stayed for ever.
    day = T0 + 120 * DAY
    publish(writer, day)
    base = publications.current_base(writer.engine).snapshot_id
    plan = make(writer, day, Event(day, user_id="u2"), state="building")
    kept = {publish(writer, day + 9 * DAY)}
    assert base not in plan_expiry(writer.engine, kept).expired_snapshots
    plans.mark_ready(writer.engine, plan.plan_id, hash_file(result_file(writer.settings, plan.plan_id)), [])
    assert base in plan_expiry(writer.engine, kept).expired_snapshots

    plans.mark_applied(writer.engine, plan.plan_id, None)  # and killed before its files were removed
    for _ in range(2):
        assert plan.plan_id not in remove_expired_plans(writer.settings, writer.engine, NOW)
        assert not plan_folder(writer.settings, plan.plan_id).exists()
