"""The comparison of live minutes with gold as a check of the publication. The comparison itself lives in storage.live.parity."""

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.assets.warehouse import PUBLICATION
from platform_assets.resources.warehouse import WarehouseResource

if TYPE_CHECKING:
    from storage.live.hours import DueHour
    from storage.publications import Publication

CHECK = "live_minutes_equal_gold"


def due_hours(warehouse: WarehouseResource) -> "list[DueHour]":
    """Hours that are closed in live, published as they are in bronze, and not compared since: see `list_due`."""
    from storage.bronze import landed_offsets
    from storage.control.hours import read_cursor
    from storage.live.hours import list_due
    from storage.live.state import WINDOWS_QUERY

    version = read_cursor(warehouse.engine)
    if version is None:
        return []
    return list_due(warehouse.engine, version, partial(landed_offsets, warehouse.storage), WINDOWS_QUERY)


def _due_with_publication(warehouse: WarehouseResource) -> "list[tuple[DueHour, Publication]]":
    """The due hours, each with the publication that has them so. None where gold moved on meanwhile: they are due at the next look."""
    from storage.publications import latest

    publication = latest(warehouse.engine)
    hours = due_hours(warehouse)
    if publication is None or latest(warehouse.engine) != publication:
        return []
    return [(due, publication) for due in hours]


@dg.asset_check(
    asset=PUBLICATION,
    name=CHECK,
    description="Every hour that was published and is closed in live: its minutes equal gold, cell by cell, once late events and imports "
    "are added; distinct users lie within the sketch's error. Looks at the hours that were not compared since their publication.",
)
def live_minutes_equal_gold(
    context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
) -> dg.AssetCheckResult:
    """Fails with table, column and keys of what differs; an alert stays open for the hour until a comparison is equal again.

    An hour that cannot be compared is not equal, and keeps no later one from being compared.
    """
    import duckdb

    from storage.control.alerts import open_alert, resolve_alert
    from storage.live.hour_alerts import DIFFERS, subject_of
    from storage.live.hours import note_comparison
    from storage.live.parity import compare_hour

    storage, engine = warehouse.storage, warehouse.engine
    described = []
    for due, publication in _due_with_publication(warehouse):
        subject = subject_of(due.hour)
        try:
            report = compare_hour(
                storage,
                engine,
                due,
                publication,
                topic=storage.topics.live,
                remembered_seconds=storage.late_after_seconds,
            )
        except duckdb.DataError as error:  # what is away for the moment fails the run, and is asked for again
            found = [f"the hour cannot be compared: {error}"]
            told = {"hour": subject, "ok": False, "error": str(error)}
        else:
            found = [*map(str, report.examples), *report.ledger_offences]
            told = report.describe()
        note_comparison(engine, due, told, datetime.now(UTC))
        described.append(told)
        if told["ok"]:
            resolve_alert(engine, DIFFERS, subject)
        else:
            open_alert(engine, DIFFERS, subject, "; ".join(found[:3]), told)
            context.log.error("\n".join(found))
    return dg.AssetCheckResult(
        passed=all(report["ok"] for report in described), metadata={"hours": dg.MetadataValue.json(described)}
    )
