"""What one verification compares: a publication, a bronze version, and per hour the part of bronze that the publication has read.

Reading order is what makes this sound beside running writers. Everything is read against the way of the data: first what was
promised (receipts, ledger), then the dirty hours, then the publication, then bronze, Kafka last. Whatever an earlier reading names
must then be in a later one. docs/invariants.md has the argument.
"""

import bisect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb
import sqlalchemy as sa
from sqlalchemy import Engine

from storage import bronze, publications
from storage.control.tables import bronze_cursor, hours
from storage.publications import Publication
from storage.settings import StorageSettings
from storage.verification import queries

NOTHING_READ = -1
"""A bronze version before the first: an hour that was never published has read nothing."""


@dataclass(frozen=True)
class HourState:
    """A row of control.hours. `settled_until` is the bronze version that the hour's published rows must reflect at least."""

    touched_version: int
    published_version: int | None

    @property
    def is_dirty(self) -> bool:
        """True while bronze holds rows of the hour that no publication has read."""
        return self.published_version is None or self.touched_version > self.published_version

    def settled_until(self, cursor_version: int) -> int:
        """A clean hour has no further row up to the cursor; a dirty one is promised up to its published version only."""
        published = NOTHING_READ if self.published_version is None else self.published_version
        return published if self.is_dirty else max(published, cursor_version)


@dataclass(frozen=True)
class Scope:
    """The pinned states. `publication` and `bronze_version` are None before the first one."""

    publication: Publication | None
    bronze_version: int | None
    cursor_version: int
    hour_states: Mapping[datetime, HourState]


def pin(engine: Engine, settings: StorageSettings) -> Scope:
    """Reads control, then the newest publication, then bronze's newest version; the order matters."""
    with engine.begin() as connection:
        connection.execute(sa.text("set transaction isolation level repeatable read"))
        cursor = connection.execute(sa.select(bronze_cursor.c.version)).scalar()
        states = {
            row.hour: HourState(row.touched_version, row.published_version)
            for row in connection.execute(sa.select(hours.c.hour, hours.c.touched_version, hours.c.published_version))
        }
    publication = publications.latest(engine)
    version = bronze.latest_version(settings)
    return Scope(publication, version, NOTHING_READ if cursor is None else cursor, states)


def write_cutoffs(session: duckdb.DuckDBPyConnection, scope: Scope, bronze_uri: str) -> None:
    """Makes the table cutoffs(event_hour, ingested_until) and the variable default_cutoff of hours that it does not name.

    A version becomes a time by the stamp in its commit: ingested_at follows commit order (checked apart).
    """
    versions = _versions_by_hour(session, scope)
    stamps = Stamps(session, bronze_uri)
    session.execute("create or replace temp table cutoffs (event_hour timestamptz, ingested_until timestamptz)")
    rows = [(hour, stamps.at(version) or "-infinity") for hour, version in versions.items()]
    if rows:
        session.execute(
            "insert into cutoffs select unnest($hours)::timestamptz, unnest($stamps)::timestamptz",
            {"hours": [hour for hour, _ in rows], "stamps": [stamp for _, stamp in rows]},
        )
    session.execute("set variable default_cutoff = $stamp", {"stamp": stamps.at(scope.cursor_version) or "-infinity"})


def _versions_by_hour(session: duckdb.DuckDBPyConnection, scope: Scope) -> dict[datetime, int]:
    """The bronze version that each hour's published rows reflect: what the publications say, or control, whichever is newer."""
    versions = {hour: state.settled_until(scope.cursor_version) for hour, state in scope.hour_states.items()}
    if scope.publication is not None:
        rows = session.execute(
            "select hour, max(bronze_version) from "
            "(select unnest(hours) as hour, bronze_version from lake.operations.publications) group by hour"
        ).fetchall()
        for hour, version in rows:
            versions[hour] = max(version, versions.get(hour, scope.cursor_version))
    return versions


class Stamps:
    """The landing stamp of bronze versions: from the Delta log, or where the log is cut already, from the publications."""

    def __init__(self, session: duckdb.DuckDBPyConnection, bronze_uri: str) -> None:
        self._session = session
        self._commits = CommitStamps(session, bronze_uri)
        self._published: list[tuple[int, str]] | None = None

    def at(self, version: int) -> str | None:
        """The stamp of the newest landing up to `version`, as text; None before the first."""
        if version == NOTHING_READ:
            return None
        if self._commits.reaches(version):
            return self._commits.at(version)
        if self._published is None:
            rows = self._session.execute(queries.load("published_stamps")).fetchall()
            self._published = [(known, stamp) for known, stamp in rows if stamp is not None]
        position = bisect.bisect_right(self._published, version, key=lambda item: item[0])
        return self._published[position - 1][1] if position else None


class CommitStamps:
    """Looks up the landing stamp of bronze versions in the Delta log, reading only the commits that are asked for."""

    def __init__(self, session: duckdb.DuckDBPyConnection, bronze_uri: str) -> None:
        self._session = session
        self._log = f"{bronze_uri.rstrip('/')}/_delta_log"
        rows = session.execute(
            "select parse_filename(file) from glob($pattern) where regexp_matches(parse_filename(file), '^[0-9]{20}[.]json$')",
            {"pattern": f"{self._log}/*.json"},
        ).fetchall()
        self._versions = sorted(int(name.removesuffix(".json")) for (name,) in rows)
        self._known: dict[int, str | None] = {}

    def reaches(self, version: int) -> bool:
        """True when the log tells all about `version`: it holds a stamp up to it, or begins with the table."""
        if not self._versions:
            return False
        return self._versions[0] == 0 or self.at(version) is not None

    def at(self, version: int) -> str | None:
        """The stamp of the newest commit up to `version` that has one, as text; None where the log has none."""
        position = bisect.bisect_right(self._versions, version)
        return next((stamp for stamp in map(self._stamp, reversed(self._versions[:position])) if stamp), None)

    def _stamp(self, version: int) -> str | None:
        if version not in self._known:
            name = f"{self._log}/{version:020d}.json"
            row = self._session.execute("select content from read_text($name)", {"name": name}).fetchone()
            self._known[version] = _landing_stamp(row[0].splitlines()) if row else None
        return self._known[version]


def _landing_stamp(lines: Iterable[str]) -> str | None:
    for line in lines:
        if '"commitInfo"' in line:
            text = json.loads(line).get("commitInfo", {}).get("userMetadata")
            metadata = json.loads(text) if text and text.startswith("{") else {}
            stamp = metadata.get("ingested_at")
            return str(stamp) if stamp else None
    return None
