"""What the published tables say of records, by coordinates and day: silver, gold, and the publications that read them."""

import json
from collections.abc import Mapping
from typing import Any

import duckdb

from ingestion.contracts.quarantine import Coordinates
from storage.landed_records import fill_places
from storage.tracing.model import Copy, GoldCell, PublicationRead, SilverRow

_AT_PLACES = """
    inner join wanted using (kafka_topic, kafka_partition, kafka_offset)
    where rows.event_date between $first_day and $last_day
"""
_SILVER = {
    "events": f"""
        select kafka_topic, kafka_partition, kafka_offset, is_late, family, event_type, user_id, platform
        from lake.silver.events as rows {_AT_PLACES}""",
    "duplicates": f"""
        select kafka_topic, kafka_partition, kafka_offset, payload_differs, winner_topic, winner_partition, winner_offset
        from lake.silver.duplicates as rows {_AT_PLACES}""",
    "quarantine": f"""
        select kafka_topic, kafka_partition, kafka_offset, reason, stage
        from lake.silver.quarantine as rows {_AT_PLACES}""",
}
_REDRIVES = """
select rows.kafka_topic, rows.kafka_partition, rows.kafka_offset, rows.origin_topic, rows.origin_partition, rows.origin_offset
from lake.silver.redrives as rows
inner join wanted
    on rows.origin_topic = wanted.kafka_topic
    and rows.origin_partition = wanted.kafka_partition
    and rows.origin_offset = wanted.kafka_offset
order by rows.ingested_at, rows.kafka_partition, rows.kafka_offset
"""
_CELL = """
where app_id = $app_id and family = $family and event_type = $event_type and platform = $platform and event_date = $event_date
"""
_GOLD = {
    "agg_5min_events": "window_start <= $occurred_at and window_end > $occurred_at",
    "agg_hour_events": "event_hour = $event_hour",
    "agg_day_events": "true",
}
_DOWNLOAD_ERRORS = """
select cells.window_start, cells.window_end, cells.event_count, cells.region, cells.error_code
from lake.silver.events as events
inner join lake.gold.agg_hour_download_errors as cells
    on events.app_id = cells.app_id
    and events.event_date = cells.event_date
    and events.event_hour = cells.event_hour
    and (events.payload ->> '$.user_context.region') = cells.region
    and coalesce(events.payload ->> '$.download.error_code', 'none') = cells.error_code
where events.event_date = $event_date
    and events.kafka_topic = $topic and events.kafka_partition = $partition and events.kafka_offset = $offset
"""
_PUBLICATIONS = """
select publication_id, cause, published_at, highest_offsets
from lake.operations.publications
where list_contains(hours, $event_hour)
order by publication_id
"""


class LakeRows:
    """The lake at one publication."""

    def __init__(self, session: duckdb.DuckDBPyConnection) -> None:
        self._session = session

    def redriven_as(self, places: set[Coordinates]) -> dict[Coordinates, list[Coordinates]]:
        """The published records that recover these, in landing order."""
        found: dict[Coordinates, list[Coordinates]] = {}
        if places:
            fill_places(self._session, "wanted", dict.fromkeys(places))
            for row in self._session.execute(_REDRIVES).fetchall():
                found.setdefault(Coordinates(*row[3:]), []).append(Coordinates(*row[:3]))
        return found

    def fill(self, copies: list[Copy]) -> None:
        """Adds silver, gold and publications to the records."""
        found = self._silver_of([copy for copy in copies if copy.edge != "pointer"])
        for copy in copies:
            copy.silver = found.get(copy.coordinates)
            if copy.silver is not None and copy.silver.table == "events":
                copy.gold = self._gold_of(copy, copy.silver)
            copy.publications = self._publications_of(copy) if copy.edge != "pointer" else []

    def _silver_of(self, copies: list[Copy]) -> dict[Coordinates, SilverRow]:
        if not copies:
            return {}
        fill_places(self._session, "wanted", dict.fromkeys(copy.coordinates for copy in copies))
        days = [copy.event_date for copy in copies]
        bounds = {"first_day": min(days), "last_day": max(days)}
        found: dict[Coordinates, SilverRow] = {}
        for table, query in _SILVER.items():
            result = self._session.execute(query, bounds)
            names = [column[0] for column in result.description][3:]
            for row in result.fetchall():
                found[Coordinates(*row[:3])] = _silver_row(table, dict(zip(names, row[3:], strict=True)))
        return found

    def _gold_of(self, copy: Copy, row: SilverRow) -> list[GoldCell]:
        dimensions = {
            "app_id": copy.app_id,
            "family": row.family or "",
            "event_type": row.event_type or "",
            "platform": row.platform or "none",
        }
        cells: list[GoldCell] = []
        for table, condition in _GOLD.items():
            columns = "window_start, window_end, event_count"
            parameters: dict[str, Any] = {**dimensions, "event_date": copy.event_date}
            parameters |= {
                name: getattr(copy, name) for name in ("occurred_at", "event_hour") if f"${name}" in condition
            }
            rows = self._session.execute(
                f"select {columns} from lake.gold.{table} {_CELL} and {condition}", parameters
            ).fetchall()
            cells += [GoldCell(table, start, end, count, dimensions) for start, end, count in rows]
        cells += self._download_cells(copy, row)
        user = {**dimensions, "event_date": copy.event_date, "event_hour": copy.event_hour, "user_id": row.user_id}
        query = f"select event_hour, event_count from lake.gold.fct_user_hours {_CELL} and event_hour = $event_hour and user_id = $user_id"
        rows = self._session.execute(query, user).fetchall()
        return cells + [GoldCell("fct_user_hours", hour, None, count, dimensions) for hour, count in rows]

    def _download_cells(self, copy: Copy, row: SilverRow) -> list[GoldCell]:
        """A download's cell by region and error code; both stand in its payload alone."""
        if row.family != "download":
            return []
        place = copy.coordinates
        values = {
            "topic": place.topic,
            "partition": place.partition,
            "offset": place.offset,
            "event_date": copy.event_date,
        }
        rows = self._session.execute(_DOWNLOAD_ERRORS, values).fetchall()
        return [
            GoldCell(
                "agg_hour_download_errors",
                start,
                end,
                count,
                {"app_id": copy.app_id, "region": region, "error_code": code},
            )
            for start, end, count, region, code in rows
        ]

    def _publications_of(self, copy: Copy) -> list[PublicationRead]:
        """Those that built the record's hour and had read up to it."""
        rows = self._session.execute(_PUBLICATIONS, {"event_hour": copy.event_hour}).fetchall()
        return [PublicationRead(*row[:3]) for row in rows if _has_read(json.loads(row[3] or "{}"), copy.coordinates)]


def _has_read(highest: Mapping[str, Mapping[str, int]], place: Coordinates) -> bool:
    return highest.get(place.topic, {}).get(str(place.partition), -1) >= place.offset


def _silver_row(table: str, row: Mapping[str, Any]) -> SilverRow:
    if table == "duplicates":
        winner = Coordinates(row["winner_topic"], row["winner_partition"], row["winner_offset"])
        return SilverRow("duplicates", winner=winner, payload_differs=row["payload_differs"])
    return SilverRow("events" if table == "events" else "quarantine", **row)
