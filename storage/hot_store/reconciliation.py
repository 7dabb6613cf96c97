"""Compares the hot store with bronze over the days that it keeps. Reads only, and may run beside everything else.

Both sides move meanwhile, so each is held only to what it must have by the time it is read. The order of reading: the group's committed
offsets, what is on the dead-letter topic, the hot store's keys, bronze last. Every record that the group has passed must be in the hot
store; every hot event whose record has landed must be a good one in bronze. What is under way is counted, not judged.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec

from storage.bronze import landed_offsets, latest_version
from storage.duckdb_session import open_session
from storage.hot_store.events import HotKey, first_kept_day, start_of
from storage.hot_store.group_offsets import GroupOffsets
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings

SQL_DIR = Path(__file__).parent / "sql"
MAX_NAMED = 20
# Copies of one key may differ in their time: the hot store has the first one, maybe of a day that bronze's rows here do not reach.
COPIES_WITHIN = timedelta(days=7)


@dataclass(frozen=True)
class Reconciliation:
    """What was compared and what differs. Lists name `app_id/event_id`, the first MAX_NAMED in order; counts are whole."""

    hot_count: int
    bronze_count: int
    missing_count: int
    missing: tuple[str, ...]
    unfounded_count: int
    unfounded: tuple[str, ...]
    waiting_letters: int
    """Dead letters that have not landed: what is missing may be among them."""

    @property
    def ok(self) -> bool:
        """True when nothing differs that cannot be under way."""
        return self.unfounded_count == 0 and self.missing_count <= self.waiting_letters

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"ok": self.ok, **msgspec.to_builtins(self)}


def reconcile(
    storage: StorageSettings,
    store: HotStore,
    group: GroupOffsets,
    *,
    ttl_days: int,
    now: datetime | None = None,
) -> Reconciliation:
    """Compares all kept days. Raises: StoreUnavailableError, and KafkaError when the broker does not answer."""
    moment = now or datetime.now(UTC)
    first_moment = start_of(first_kept_day(moment, ttl_days))
    since, until = first_moment - COPIES_WITHIN, moment + timedelta(days=1)
    passed, letters = group.committed(), group.ends(group.dead_letter_topic)
    with tempfile.TemporaryDirectory(prefix="tidemark-hot-") as folder, open_session(storage) as session:
        hot_count = _load_hot(session, store.keys(since, until), Path(folder) / "keys.ndjson")
        version = latest_version(storage)
        landed = landed_offsets(storage, version) if version is not None else {}
        _load_offsets(session, "passed", "next_offset", passed)
        _load_offsets(session, "landed", "last_offset", landed.get(group.live_topic, {}))
        values = {"uri": storage.bronze_uri, "version": version, "topic": group.live_topic}
        if version is None:
            session.execute(
                "create temp table good_copies (app_id text, event_id text, kafka_offset bigint,"
                " kafka_partition integer, occurred_at timestamptz)"
            )
            session.execute("create temp table pointers (kafka_partition integer, kafka_offset bigint)")
        else:
            _run(session, "good_copies", values | {"since": since})
            _run(
                session,
                "pointers",
                values | {"dead_letter_topic": group.dead_letter_topic, "consumer_group": group.name},
            )
        missing = _run(session, "missing", {"first_moment": first_moment}).fetchall()
        unfounded = _run(session, "unfounded", {}).fetchall()
        [[bronze_count]] = session.execute(
            "select count(*) from good_copies where occurred_at >= ?", [first_moment]
        ).fetchall()
    landed_letters = landed.get(group.dead_letter_topic, {})
    waiting = sum(max(0, end - landed_letters.get(partition, -1) - 1) for partition, end in letters.items())
    return Reconciliation(
        hot_count, bronze_count, len(missing), _named(missing), len(unfounded), _named(unfounded), waiting
    )


def _load_hot(session: duckdb.DuckDBPyConnection, keys: Iterator[HotKey], path: Path) -> int:
    """The hot store's keys as a table, by way of a file: the shortest way of many rows into DuckDB."""
    encoder, count = msgspec.json.Encoder(), 0
    with path.open("wb") as file:
        for count, key in enumerate(keys, 1):  # noqa: B007 - the number of the last one is the count
            file.write(encoder.encode(key) + b"\n")
    columns = "{app_id: 'varchar', event_id: 'varchar', kafka_partition: 'integer', kafka_offset: 'bigint'}"
    session.execute(
        f"create temp table hot as from read_json(?, format => 'newline_delimited', columns => {columns})", [str(path)]
    )
    return count


def _load_offsets(session: duckdb.DuckDBPyConnection, table: str, column: str, offsets: Mapping[int, int]) -> None:
    session.execute(f"create temp table {table} (kafka_partition integer, {column} bigint)")
    for partition, offset in offsets.items():
        session.execute(f"insert into {table} values (?, ?)", [partition, offset])


def _run(session: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, object]) -> duckdb.DuckDBPyConnection:
    query = (SQL_DIR / f"{name}.sql").read_text()
    return session.execute(query, {key: value for key, value in values.items() if f"${key}" in query})


def _named(rows: list[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{app_id}/{event_id}" for app_id, event_id in rows[:MAX_NAMED])
