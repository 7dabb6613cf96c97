"""I5: publications only go forward, and each kept one opens as a whole.

The chain of all publications is read from operations.publications at the newest one; the kept snapshots from the catalog.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import duckdb

from storage.publications import Publication
from storage.verification.report import Finding

MAX_OPENED = 30
"""Kept publications that one verification opens: the newest and an even sample of the older ones, about 50 ms each."""


@dataclass(frozen=True)
class ChainLink:
    """What a row of operations.publications says about its place in the chain."""

    publication_id: int
    base_publication_id: int | None
    bronze_version: int
    highest_offsets: dict[str, dict[str, int]]


def read_chain(session: duckdb.DuckDBPyConnection) -> list[ChainLink]:
    """All publications up to the one that the session has open, by id."""
    rows = session.execute(
        "select publication_id, base_publication_id, bronze_version, highest_offsets from lake.operations.publications order by all"
    ).fetchall()
    return [ChainLink(row[0], row[1], row[2], json.loads(row[3] or "{}")) for row in rows]


def check_chain(chain: Sequence[ChainLink], kept: Sequence[Publication]) -> Finding:
    """Ids, snapshots, bronze versions and offsets only grow, and each publication stands on the one before it."""
    finding = Finding("publications_only_go_forward", "I5", f"{len(chain)} publications, each based on the one before")
    before: ChainLink | None = None
    for link in chain:
        finding.add(f"publication {link.publication_id}: {wrong}" for wrong in _link_offences(before, link))
        before = link
    ids = {link.publication_id: link for link in chain}
    snapshots = sorted(kept, key=lambda item: item.publication_id)
    for item in snapshots:
        row = ids.get(item.publication_id)
        if row is None:
            finding.add([f"publication {item.publication_id} has a snapshot and no row in operations.publications"])
        elif (row.bronze_version, row.base_publication_id) != (item.bronze_version, item.base_publication_id):
            finding.add([f"publication {item.publication_id}: its snapshot and its row name different bases"])
    for earlier, later in pairwise(snapshots):
        if later.publication_id <= earlier.publication_id or later.snapshot_id <= earlier.snapshot_id:
            finding.add(
                [f"publication {later.publication_id}: snapshot {later.snapshot_id} is not after {earlier.snapshot_id}"]
            )
    return finding


def _link_offences(before: ChainLink | None, after: ChainLink) -> list[str]:
    if before is None:
        return (
            []
            if after.base_publication_id is None
            else [f"is the first and names the base {after.base_publication_id}"]
        )
    wrong: list[str] = []
    if after.publication_id <= before.publication_id:
        wrong.append("its id is used twice")
    if after.base_publication_id != before.publication_id:
        wrong.append(f"is based on {after.base_publication_id}, not on {before.publication_id}")
    if after.bronze_version < before.bronze_version:
        wrong.append(f"read bronze {after.bronze_version} after {before.bronze_version}")
    for topic, partitions in before.highest_offsets.items():
        for partition, offset in partitions.items():
            now = after.highest_offsets.get(topic, {}).get(partition, -1)
            if now < offset:
                wrong.append(f"{topic}/{partition} went back from offset {offset} to {now}")
    return wrong


def check_snapshots(
    session: duckdb.DuckDBPyConnection, kept: Sequence[Publication], lake_uri: str, is_kept: Callable[[int], bool]
) -> Finding:
    """Each kept publication's snapshot opens as a whole.

    It holds that publication's row, its tables as they changed from its base, and every file that they are made of. Retention may expire
    one beside this, and merge files: what seems wrong is looked at again, with what `is_kept` says and is stored by then.
    """
    opened = sample(sorted(kept, key=lambda item: item.publication_id), MAX_OPENED)
    finding = Finding(
        "kept_publications_open_whole", "I5", f"{len(opened)} of {len(kept)} kept publications opened whole"
    )
    by_id = {item.publication_id: item for item in kept}
    stored = _stored_names(session, lake_uri)
    for item in opened:
        base = by_id.get(item.base_publication_id) if item.base_publication_id is not None else None
        wrong = _snapshot_offences(session, item, base, stored)
        if wrong and not is_kept(item.publication_id):
            continue
        if wrong:
            base = base if base is not None and is_kept(base.publication_id) else None
            wrong = _snapshot_offences(session, item, base, _stored_names(session, lake_uri))
        finding.add(f"publication {item.publication_id}: {text}" for text in wrong)
    return finding


def _stored_names(session: duckdb.DuckDBPyConnection, lake_uri: str) -> set[str]:
    rows = session.execute("select parse_filename(file) from glob($all)", {"all": f"{lake_uri.rstrip('/')}/**"})
    return {name for (name,) in rows.fetchall()}


def _snapshot_offences(
    session: duckdb.DuckDBPyConnection, item: Publication, base: Publication | None, stored: set[str]
) -> list[str]:
    try:
        newest = _scalar(session, "select max(publication_id) from lake.operations.publications", item.snapshot_id)
        if newest != item.publication_id:
            return [f"its snapshot {item.snapshot_id} holds publication {newest}"]
        missing = _snapshot_files(session, item) - stored
        wrong = [f"its snapshot {item.snapshot_id} needs {name}, which is gone" for name in sorted(missing)]
        if base is None:
            return wrong
        for table, change in item.changes.items():
            grown = _row_count(session, table, item.snapshot_id) - _row_count(session, table, base.snapshot_id)
            claimed = change.get("added", 0) - change.get("removed", 0)
            if grown != claimed:
                wrong.append(f"{table} grew by {grown} rows, not by {claimed}")
        return wrong
    except duckdb.Error as error:
        return [f"its snapshot {item.snapshot_id} does not open ({type(error).__name__})"]


def _snapshot_files(session: duckdb.DuckDBPyConnection, item: Publication) -> set[str]:
    """Names of the data and delete files that its tables are made of. File names are unique in a lake."""
    names: set[str] = set()
    tables = session.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = 'lake'"
    ).fetchall()
    for schema, name in tables:
        try:
            rows = session.execute(
                "select parse_filename(data_file), parse_filename(delete_file) "
                "from ducklake_list_files('lake', $name, schema => $schema, snapshot_version => $snapshot)",
                {"name": name, "schema": schema, "snapshot": item.snapshot_id},
            ).fetchall()
        except duckdb.CatalogException:
            if f"{schema}.{name}" in item.changes:
                raise
            continue  # a table that came after this publication
        names |= {file for row in rows for file in row if file}
    return names


def _row_count(session: duckdb.DuckDBPyConnection, table: str, snapshot_id: int) -> int:
    schema, _, name = table.partition(".")
    quoted = '"' + schema.replace('"', '""') + '"."' + name.replace('"', '""') + '"'
    return int(_scalar(session, f"select count(*) from lake.{quoted}", snapshot_id))


def _scalar(session: duckdb.DuckDBPyConnection, query: str, snapshot_id: int) -> Any:
    return session.execute(f"{query} at (version => {int(snapshot_id)})").fetchall()[0][0]


def sample(items: Sequence[Publication], limit: int) -> list[Publication]:
    """At most `limit` of the items: the newest third of the limit and the rest spread evenly over the older ones."""
    if len(items) <= limit:
        return list(items)
    newest = limit // 3
    older = items[: len(items) - newest]
    wanted = limit - newest
    return [older[index * len(older) // wanted] for index in range(wanted)] + list(items[-newest:])
