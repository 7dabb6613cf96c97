"""Silver, gold and the publication: one step that builds a window apart, checks it and promotes it.

A selection is widened to what it needs: asking for one asset of one day builds, checks and publishes every table of that day, because
a publication is one state of all tables. Assets that were not asked for are still reported as materialised.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster_dbt.asset_utils import build_dbt_specs
from pydantic import Field

from platform_assets.arrivals import cause_of
from platform_assets.build import Builder, Outcome
from platform_assets.code_version import read_code_version
from platform_assets.column_metadata import ColumnMetadataFile
from platform_assets.cutting import cut_hours
from platform_assets.dbt_run import BuildFailedError, DbtRunner, failure_metadata
from platform_assets.dbt_translator import OWNERS, DefinitionTranslator, merge_published
from platform_assets.growth import GROWING_CAUSES
from platform_assets.partitions import DAYS
from platform_assets.reconciliation import Reconciliation
from platform_assets.reporting import has_partitions, materialize
from platform_assets.resources.dbt import OfflineDbtCliResource
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.run_progress import DirtyHoursProgress, ReplayProgress, RunProgress
from platform_assets.settings import BUILDS_POOL, OrchestrationSettings
from platform_assets.windows import Window, hours_of_days, parse_hours
from storage.control.hours import list_dirty
from storage.tables import load_table_specs

PUBLICATION = dg.AssetKey(["operations", "publications"])
# A run has this tag as soon as it has published, while it still reports what it built.
PUBLISHED_TAG = "tidemark/published"
MANIFEST = OrchestrationSettings.model_fields["dbt_project_dir"].default / "target" / "manifest.json"
PUBLICATION_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("publication_id", "bigint", "Grows by one with every publication."),
        dg.TableColumn("cause", "varchar", "arrival, late, import, replay, recovered, code or erasure."),
        dg.TableColumn("hours", "timestamptz[]", "Hours that the run built."),
        dg.TableColumn("run_id", "varchar", "The Dagster run."),
        dg.TableColumn("base_publication_id", "bigint", "The publication before."),
        dg.TableColumn("bronze_version", "bigint", "Delta version of bronze that was read."),
        dg.TableColumn("highest_offsets", "varchar", "JSON: highest offset read, per topic and partition."),
        dg.TableColumn("code_version", "varchar", "Version of the code that built it."),
        dg.TableColumn("changes", "varchar", "JSON: rows added and removed per table."),
        dg.TableColumn("published_at", "timestamptz", "When it was promoted."),
    ]
)


class PublishConfig(dg.Config):
    """What to build. Empty `cause`: the dirty hours' own, else replay. `replay_id`: the replay that asked for the hours; 0 for none.

    `hours` are built together. Empty: every hour of the partition's days, in as many builds as their rows need.
    """

    hours: list[str] = Field(default_factory=list)
    cause: str = ""
    replay_id: int = 0
    compare_first: bool = False


def _make_specs() -> tuple[list[dg.AssetSpec], list[dg.AssetCheckSpec]]:
    specs, checks = build_dbt_specs(
        translator=DefinitionTranslator(),
        manifest=_read_manifest(),
        select="fqn:*",
        exclude="",
        selector="",
        io_manager_key=None,
        project=None,
    )
    specs = [merge_published(spec).replace_attributes(skippable=True) for spec in specs]
    publication = dg.AssetSpec(
        PUBLICATION,
        deps=[spec.key for spec in specs],
        skippable=True,
        group_name="operations",
        owners=OWNERS,
        kinds={"ducklake"},
        tags={"layer": "operations", "cadence": "continuous"},
        description="The promotion of a checked build: one lake snapshot = one state of every table. One row per publication.",
        metadata={"dagster/column_schema": PUBLICATION_COLUMNS},
    )
    return [*specs, publication], list(checks)


def _read_manifest() -> dict[str, Any]:
    import json

    if not MANIFEST.exists():
        raise dg.DagsterInvariantViolationError(
            f"{MANIFEST} is missing. Run `make setup`, or `dbt parse` in dbt_project."
        )
    manifest: dict[str, Any] = json.loads(MANIFEST.read_text())
    return manifest


SPECS, CHECK_SPECS = _make_specs()


@dg.multi_asset(
    name="publish_hours",
    specs=SPECS,
    check_specs=CHECK_SPECS,
    can_subset=True,
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=BUILDS_POOL,
    allow_arbitrary_check_specs=True,
)
def publish_hours(
    context: dg.AssetExecutionContext, config: PublishConfig, dbt: OfflineDbtCliResource, warehouse: WarehouseResource
) -> Iterator[Any]:
    """Builds the window of the run apart, checks it, publishes the difference."""
    hours = _requested_hours(context, config)
    cause = config.cause or cause_of([dirty for dirty in list_dirty(warehouse.engine) if dirty.hour in set(hours)])
    progress = _progress(context, config, warehouse, hours)
    comparison = (
        Reconciliation(warehouse.storage, warehouse.engine, context.run_id, context.log)
        if config.compare_first
        else None
    )
    outcomes: list[Outcome] = []
    try:
        for window in _windows(config, warehouse, hours, cause):
            wanted = progress.begin(window)
            if wanted is None:
                continue
            context.log.info(
                f"{cause}: {len(wanted.hours)} hours from {wanted.start:%Y-%m-%d %H:%M} to {wanted.end:%Y-%m-%d %H:%M}"
            )
            outcomes.append(_publish(context, dbt, warehouse, wanted, cause, comparison))
            progress.finish(outcomes[-1])
    except BuildFailedError as error:
        progress.fail(error.blocked_by)
        yield from _report(context, [event for event in error.events if _is_check(event)], hours)
        raise dg.Failure(str(error), metadata=failure_metadata(error), allow_retries=False) from error
    except Exception as error:
        progress.fail(f"{type(error).__name__} in run {context.run_id}")
        raise
    context.instance.add_run_tags(context.run_id, {PUBLISHED_TAG: _publication_numbers(outcomes) or "nothing"})
    if not outcomes:
        context.log.info(
            f"Replay {config.replay_id} has nothing left to build here: finished by another run, or cancelled"
        )
        return
    built = tuple(hour for outcome in outcomes for hour in outcome.plan.window.hours)
    yield from _report(context, outcomes[-1].events, built)
    yield from materialize(context, PUBLICATION, _publication_metadata(outcomes), built)


def _progress(
    context: dg.AssetExecutionContext, config: PublishConfig, warehouse: WarehouseResource, hours: tuple[datetime, ...]
) -> RunProgress:
    if config.replay_id:
        return ReplayProgress(warehouse.engine, config.replay_id, hours, context.run_id)
    return DirtyHoursProgress(warehouse.engine, hours, context.run_id)


def _publish(
    context: dg.AssetExecutionContext,
    dbt: OfflineDbtCliResource,
    warehouse: WarehouseResource,
    window: Window,
    cause: str,
    comparison: Reconciliation | None,
) -> Outcome:
    code_version = read_code_version()
    columns = ColumnMetadataFile(warehouse.storage.builds_dir, code_version)
    runner = DbtRunner(dbt.using(warehouse.orchestration.dbt_command), warehouse.storage, MANIFEST, columns)
    builder = Builder(
        warehouse.storage,
        warehouse.engine,
        load_table_specs(MANIFEST),
        runner,
        code_version=code_version,
        kept_builds=warehouse.orchestration.kept_builds,
    )
    if comparison:
        comparison.compare(builder, window)
    outcome = builder.publish(window, cause=cause, run_id=context.run_id, whole=comparison is not None)
    outcome = replace(outcome, events=runner.describe(outcome.events))
    if outcome.plan.cutoffs:
        context.log.info(f"{len(outcome.plan.cutoffs)} of the hours grew: only what arrived was read")
    number = outcome.publication.publication_id if outcome.publication else None
    context.log.info(f"Publication {number}" if number else "Nothing differs from what is published: no publication")
    return outcome


def _requested_hours(context: dg.AssetExecutionContext, config: PublishConfig) -> tuple[datetime, ...]:
    hours = parse_hours(config.hours)
    if not has_partitions(context):
        if not hours:
            raise dg.Failure(
                "Nothing says what to build: launch a day or a range of days, or name hours in the run config."
            )
        return hours
    days = context.partition_time_window
    first, last = days.start.astimezone(UTC).date(), (days.end.astimezone(UTC) - timedelta(seconds=1)).date()
    whole = hours_of_days(first, last)
    outside = [hour for hour in hours if not whole[0] <= hour <= whole[-1]]
    if outside:
        raise dg.Failure(
            f"{outside[0]:%Y-%m-%dT%H:%M}Z is outside the run's days {first} to {last}: ask for hours within them."
        )
    return hours or whole


def _windows(
    config: PublishConfig, warehouse: WarehouseResource, hours: tuple[datetime, ...], cause: str
) -> list[Window]:
    if config.hours or config.replay_id:
        return [Window(hours)]  # whoever named them has cut them, and a part of a replay is built whole
    may_grow = cause in GROWING_CAUSES and not config.compare_first
    max_rows = warehouse.orchestration.max_rows_per_build
    return cut_hours(warehouse.storage, warehouse.engine, hours, max_rows, may_grow=may_grow)


def _is_check(event: Any) -> bool:
    return isinstance(event, dg.AssetCheckEvaluation)


def _report(context: dg.AssetExecutionContext, events: list[Any], hours: tuple[datetime, ...]) -> Iterator[Any]:
    """dbt's events as results of the selected assets, and as plain materialisations of the ones the selection was widened to."""
    for event in events:
        if isinstance(event, dg.AssetMaterialization):
            yield from materialize(context, event.asset_key, event.metadata, hours)
        elif isinstance(event, dg.AssetCheckEvaluation):
            key = dg.AssetCheckKey(event.asset_key, event.check_name)
            if not has_partitions(context):
                yield event
            elif key in context.selected_asset_check_keys:
                yield dg.AssetCheckResult(
                    passed=event.passed,
                    asset_key=event.asset_key,
                    check_name=event.check_name,
                    metadata=event.metadata,
                    severity=event.severity,
                )


def _publication_numbers(outcomes: list[Outcome]) -> str:
    return ",".join(str(outcome.publication.publication_id) for outcome in outcomes if outcome.publication)


def _publication_metadata(outcomes: list[Outcome]) -> dict[str, Any]:
    publications = [outcome.publication for outcome in outcomes if outcome.publication]
    metadata: dict[str, Any] = {
        "bronze_version": outcomes[-1].plan.bronze_version,
        "hours": sum(len(outcome.plan.window.hours) for outcome in outcomes),
        "publications": [publication.publication_id for publication in publications],
    }
    if publications:
        metadata["changes"] = publications[-1].changes
    return metadata
