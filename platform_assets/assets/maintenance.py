"""Maintenance assets: expiry of unkept publications, and the generated dbt docs."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from platform_assets.assets.warehouse import MANIFEST, PUBLICATION
from platform_assets.build import copy_newest_build
from platform_assets.code_version import read_code_version
from platform_assets.column_metadata import ColumnMetadataFile, find_columns
from platform_assets.dbt_translator import OWNERS, TidemarkTranslator
from platform_assets.priority import stand_back
from platform_assets.resources.dbt import OfflineDbtCliResource
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.retention import choose_kept
from platform_assets.settings import BUILDS_POOL, DOCS_POOL

DOCS_FILES = ("index.html", "catalog.json", "manifest.json", "run_results.json")


@dg.asset(
    key=["operations", "lake_retention"],
    deps=[PUBLICATION],
    group_name="operations",
    owners=OWNERS,
    kinds={"ducklake"},
    tags={"layer": "operations", "cadence": "hourly"},
    pool=BUILDS_POOL,
    description="Expires publications and plans that no rule keeps, merges small files and cleans up. One materialisation per pass.",
)
def lake_retention(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Names what it removed in its metadata."""
    from storage.maintenance import expire, restating_publications
    from storage.plan_files import remove_expired_plans
    from storage.publications import listing

    now = datetime.now(UTC)
    recent = timedelta(hours=warehouse.orchestration.recent_publications_kept_hours)

    def choose() -> set[int]:
        publications = listing(warehouse.engine, limit=1_000_000)
        return choose_kept(publications, restating_publications(warehouse.storage), now, recent)

    result = expire(warehouse.storage, warehouse.engine, choose, delete_older_than=now - recent)
    expired_plans = remove_expired_plans(warehouse.storage, warehouse.engine, now)
    context.log.info(
        f"Expired {len(result.expired_publications)} publications, {len(result.expired_snapshots)} snapshots"
    )
    return dg.MaterializeResult(
        metadata={
            "expired_publications": list(result.expired_publications),
            "kept_publications": len(listing(warehouse.engine, limit=1_000_000)),
            "expired_plans": expired_plans,
        }
    )


@dg.asset(
    key=["operations", "dbt_docs"],
    deps=[PUBLICATION],
    group_name="operations",
    owners=OWNERS,
    kinds={"dbt"},
    tags={"layer": "operations", "cadence": "on_change"},
    pool=DOCS_POOL,
    description="The dbt docs site, generated from the newest build whenever the dbt project changed. One site per code version.",
)
def dbt_docs(
    context: dg.AssetExecutionContext, dbt: OfflineDbtCliResource, warehouse: WarehouseResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Generates into a folder apart and swaps it in, so that the served site is never half of one; keeps the columns it read for builds.

    It works on a copy of a build and stands back from builds: on busy processors it takes minutes, and no publication waits for it.
    """
    settings = warehouse.orchestration
    stand_back()
    copy = warehouse.storage.builds_dir / "docs" / "copy"
    build_file = copy_newest_build(warehouse.storage.builds_dir, copy)
    if build_file is None:
        raise dg.Failure("There is no finished build yet: docs are generated from one. Publish an hour first.")
    target = build_file.parent.resolve() / "site"
    # dbt inherits them, and the adapter that looks at columns lives in this process.
    os.environ.update({**_reading_environment(warehouse, build_file), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"})
    arguments = ["docs", "generate"]
    dbt = dbt.using(settings.dbt_command)
    invocation = dbt.cli(
        arguments,
        manifest=MANIFEST,
        dagster_dbt_translator=TidemarkTranslator(),
        target_path=target,
        raise_on_error=False,
    )
    if not invocation.wait().is_successful():
        raise dg.Failure(f"dbt docs generate failed: {invocation.get_error()}")
    columns = ColumnMetadataFile(warehouse.storage.builds_dir, read_code_version())
    if columns.read() is None:
        columns.write(find_columns(dbt, arguments, invocation))
    # Last: a site that names the running code is not asked for again.
    publish_site(target, settings.docs_dir)
    shutil.rmtree(copy, ignore_errors=True)
    context.log.info("dbt docs generated")
    return dg.MaterializeResult(metadata={"code_version": read_code_version()})


def _reading_environment(warehouse: WarehouseResource, build_file: Path) -> dict[str, str]:
    """A plan of the newest base over a build that is there, so that the docs' catalog describes what is published."""
    from platform_assets.build import BuildPlan
    from platform_assets.windows import Window
    from storage.bronze import latest_version
    from storage.publications import current_base

    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    plan = BuildPlan(
        Window((hour,)),
        current_base(warehouse.engine),
        latest_version(warehouse.storage) or 0,
        build_file,
        "docs",
    )
    return plan.environment(warehouse.storage)


def publish_site(target: "os.PathLike[str]", docs_dir: "os.PathLike[str]") -> None:
    """Copies the generated site beside the served one and renames it into place."""
    served = Path(docs_dir)
    fresh = served.with_name(served.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name in DOCS_FILES:
        if (Path(target) / name).exists():
            shutil.copy2(Path(target) / name, fresh / name)
    (fresh / "code_version").write_text(read_code_version())
    old = served.with_name(served.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if served.exists():
        served.rename(old)
    fresh.rename(served)
    shutil.rmtree(old, ignore_errors=True)
