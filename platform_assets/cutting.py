"""Cuts hours into windows that one build may hold, by what bronze has of them. The planning itself is pure: `platform_assets.windows`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Engine

from platform_assets.avro_schemas import pinned_schemas
from platform_assets.code_version import read_code_version
from platform_assets.growth import growing_versions, rules_version
from platform_assets.windows import Window, cut_by_rows
from storage.control.hours import list_dirty
from storage.settings import StorageSettings

# What a record of an hour that grows costs of one that is built whole: 0.9 µs against 17 in `refresh_growth`, taken with a margin.
GROWING_SHARE = 10


def cut_hours(
    settings: StorageSettings, engine: Engine, hours: Sequence[datetime], max_rows: int, *, may_grow: bool
) -> list[Window]:
    """Windows of at most `max_rows` of bronze, except for one hour that has more. For `may_grow` see `weigh_hours`."""
    return cut_by_rows(hours, weigh_hours(settings, engine, hours, max_rows, may_grow=may_grow), max_rows)


def weigh_hours(
    settings: StorageSettings, engine: Engine, hours: Sequence[datetime], max_rows: int, *, may_grow: bool
) -> Mapping[datetime, int]:
    """Rows of bronze that the hours count for. `may_grow`: the run only adds what arrived where it can (`platform_assets.growth`).

    A day that holds no more than `max_rows` counts whole, by its files' statistics alone, however few of its hours are asked for. Of any
    other the hours are counted, and a late one that grows counts for a tenth.
    """
    from storage.bronze import row_counts_by_date
    from storage.bronze_hours import count_hours_of

    by_date = row_counts_by_date(settings)
    asked = Counter(hour.date() for hour in hours)
    busy = {day for day in asked if by_date.get(day, 0) > max_rows}
    rows = {hour: by_date.get(hour.date(), 0) // asked[hour.date()] for hour in hours if hour.date() not in busy}
    if busy:
        rows |= count_hours_of(settings, busy)
        for hour in _growing(settings, engine, [hour for hour in hours if hour.date() in busy]) if may_grow else ():
            rows[hour] = rows.get(hour, 0) // GROWING_SHARE
    return rows


def _growing(settings: StorageSettings, engine: Engine, hours: Sequence[datetime]) -> Iterable[datetime]:
    """Those that grow whatever else their run holds: a late hour's cause comes before any other."""
    late = [hour for hour in list_dirty(engine) if hour.cause == "late"]
    rules = rules_version(read_code_version(), settings, pinned_schemas(engine))
    return growing_versions(Window(tuple(hours)), late, "late", rules)
