"""Reads bronze's Delta log: newest version, landed offsets, and which hours a range of commits touched.

Nothing here writes bronze: Spark's landing job does. Row data is read only to learn the distinct hours of new files.
Commit files are read through DuckDB, so that a path and an s3:// address work alike.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import duckdb

from storage.duckdb_session import open_session
from storage.object_store import delta_options
from storage.settings import StorageSettings

LOG_SEARCH_DEPTH = 20
# Read by their names; of more the log is listed, once.
NAMED_COMMITS = 1_000


class BronzeError(Exception):
    """Bronze could not be read as expected."""


@dataclass(frozen=True)
class AddedFile:
    """A data file that a commit added: its address and the UTC date of its partition."""

    uri: str
    event_date: date


@dataclass(frozen=True)
class Commit:
    """One commit of bronze as the log tells it. `added` is empty for a compaction (dataChange=false).

    `ingested_at` is the stamp of the rows that it landed, above the stamp of every earlier commit; None where it landed none.
    """

    version: int
    query: str | None
    offsets: dict[str, dict[int, int]]
    added: list[AddedFile] = field(default_factory=list)
    ingested_at: datetime | None = None


@dataclass(frozen=True)
class Touch:
    """An hour and the commits that added rows to it; `query` is `import` when every one of them was an import."""

    hour: datetime
    first_version: int
    last_version: int
    query: str


def latest_version(settings: StorageSettings) -> int | None:
    """The newest Delta version, or None while there is no table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        options = delta_options(settings)
        return int(DeltaTable(settings.bronze_uri, storage_options=options, without_files=True).version())
    except TableNotFoundError:
        return None


def landed_offsets(settings: StorageSettings, version: int | None = None) -> dict[str, dict[int, int]]:
    """The highest landed offset per topic and partition at `version` (default: the newest). Empty before the first commit."""
    newest = latest_version(settings) if version is None else version
    if newest is None:
        return {}
    with open_session(settings) as session:
        landing = _newest_landing(session, settings.bronze_uri, newest)
    return landing.offsets if landing else {}


def landing_stamps(settings: StorageSettings, versions: Iterable[int]) -> dict[int, datetime]:
    """Per version, the `ingested_at` that tells its rows from later ones: theirs lie at or below it, those of later versions above.

    It holds whatever was compacted since. Versions that the log no longer reaches back to are left out.
    """
    with open_session(settings) as session:
        landings = {version: _newest_landing(session, settings.bronze_uri, version) for version in set(versions)}
    return {version: landing.ingested_at for version, landing in landings.items() if landing and landing.ingested_at}


def _newest_landing(session: duckdb.DuckDBPyConnection, uri: str, version: int) -> Commit | None:
    """The newest commit up to `version` that landed records; None where the log has none."""
    for start in range(version, -1, -LOG_SEARCH_DEPTH):
        stop = max(start - LOG_SEARCH_DEPTH, -1)
        commits = list(_read_commits(session, uri, stop, start))
        for commit in reversed(commits):
            if commit.offsets:
                return commit
        if not commits:
            break  # the log is cut from its old end
    return None


def highest_offsets(settings: StorageSettings, version: int) -> dict[str, dict[str, int]]:
    """`landed_offsets` as a publication names them: partitions as text, in order."""
    return {
        topic: {str(partition): offset for partition, offset in sorted(partitions.items())}
        for topic, partitions in sorted(landed_offsets(settings, version).items())
    }


def row_counts_by_date(settings: StorageSettings, version: int | None = None) -> dict[date, int]:
    """Rows per event_date from file statistics alone: good for planning, not a ledger. Empty while there is no table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(settings.bronze_uri, version=version, storage_options=delta_options(settings))
    except TableNotFoundError:
        return {}
    counts: dict[date, int] = {}
    actions = table.get_add_actions(flatten=True)
    names = actions.schema.names
    columns = {name: actions.column(names.index(name)).to_pylist() for name in ("partition.event_date", "num_records")}
    for day, rows in zip(columns["partition.event_date"], columns["num_records"], strict=True):
        counts[day] = counts.get(day, 0) + (rows or 0)
    return counts


def touched_hours(
    settings: StorageSettings, after_version: int | None, to_version: int, *, landed_until: datetime | None = None
) -> list[Touch]:
    """Hours that commits in (after_version, to_version] added rows to, oldest first.

    The hours are read from the added files. Where a file is gone (compacted and vacuumed) every hour of its date counts as touched;
    where a commit file is gone, every hour of the table does: too much is built then, never too little. With `landed_until`, the stamp of
    `after_version` (see `landing_stamps`), those with later rows do.
    """
    touches: dict[datetime, Touch] = {}
    first = -1 if after_version is None else after_version
    with open_session(settings) as session:
        commits = list(_read_commits(session, settings.bronze_uri, first, to_version))
        if len(commits) < to_version - first:
            hours = session.execute(
                "select distinct event_hour from delta_scan($uri, version => $version) "
                "where $landed_until is null or ingested_at > $landed_until",
                {"uri": settings.bronze_uri, "version": to_version, "landed_until": landed_until},
            ).fetchall()
            for (hour,) in hours:
                _note(touches, hour, to_version, "live")
        for commit in commits:
            for hour in _hours_of_files(session, commit.added):
                _note(touches, hour, commit.version, commit.query or "live")
    return [touches[hour] for hour in sorted(touches)]


def _note(touches: dict[datetime, Touch], hour: datetime, version: int, query: str) -> None:
    known = touches.get(hour)
    if known is None:
        touches[hour] = Touch(hour, version, version, query)
    else:
        same = query if query == known.query else "live"
        touches[hour] = Touch(hour, min(known.first_version, version), max(known.last_version, version), same)


def _hours_of_files(session: duckdb.DuckDBPyConnection, files: list[AddedFile]) -> set[datetime]:
    if not files:
        return set()
    try:
        rows = session.execute(
            "select distinct event_hour from read_parquet(?, hive_partitioning => false)",
            [[file.uri for file in files]],
        ).fetchall()
        return {row[0].astimezone(UTC) for row in rows}
    except duckdb.IOException:
        midnights = {datetime(day.year, day.month, day.day, tzinfo=UTC) for day in {file.event_date for file in files}}
        return {midnight + timedelta(hours=hour) for midnight in midnights for hour in range(24)}


def _read_commits(
    session: duckdb.DuckDBPyConnection, uri: str, after_version: int, to_version: int
) -> Iterator[Commit]:
    """The commits of (after_version, to_version] whose log files still exist, in order."""
    log = f"{uri.rstrip('/')}/_delta_log"
    names = [f"{log}/{version:020d}.json" for version in range(after_version + 1, to_version + 1)]
    if not names:
        return
    try:
        # Listing the log costs 6 µs a file of it, of which there are 86,000 after a day.
        texts = _read_texts(session, names) if len(names) <= NAMED_COMMITS else None
    except duckdb.IOException:
        texts = None
    if texts is None:
        first, last = (name.rsplit("/", 1)[-1] for name in (names[0], names[-1]))
        kept = session.execute(
            "select file from glob(?) where parse_filename(file) between ? and ?", [f"{log}/*.json", first, last]
        ).fetchall()
        texts = _read_texts(session, [name for (name,) in kept]) if kept else []
    for name, text in texts:
        version = int(name.rsplit("/", 1)[-1].removesuffix(".json"))
        yield parse_commit(uri, version, text)


def _read_texts(session: duckdb.DuckDBPyConnection, names: list[str]) -> list[tuple[str, str]]:
    return session.execute("select filename, content from read_text(?) order by filename", [names]).fetchall()


def parse_commit(uri: str, version: int, text: str) -> Commit:
    """A commit file's actions: user metadata and added files, those of compactions left out."""
    metadata: dict[str, Any] = {}
    added: list[AddedFile] = []
    for line in text.splitlines():
        action = json.loads(line) if line.strip() else {}
        if "commitInfo" in action:
            metadata = _user_metadata(action["commitInfo"])
        elif "add" in action and action["add"].get("dataChange", True):
            add = action["add"]
            day = date.fromisoformat(add["partitionValues"]["event_date"])
            added.append(AddedFile(f"{uri.rstrip('/')}/{unquote(add['path'])}", day))
    offsets = {
        topic: {int(partition): int(offset) for partition, offset in partitions.items()}
        for topic, partitions in metadata.get("offsets", {}).items()
    }
    stamp = metadata.get("ingested_at")
    return Commit(
        version=version,
        query=metadata.get("query"),
        offsets=offsets,
        added=added,
        ingested_at=datetime.fromisoformat(stamp) if stamp else None,
    )


def _user_metadata(commit_info: dict[str, Any]) -> dict[str, Any]:
    """What the landing job wrote beside the commit; a foreign commit (a table property, say) has none."""
    try:
        parsed = json.loads(commit_info.get("userMetadata") or "{}")
    except json.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
