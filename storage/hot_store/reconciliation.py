"""Compares the hot store with bronze over the days that it keeps. Reads only, and may run beside everything else.

Both sides move meanwhile, so each is held only to what it must have by the time it is read. The order of reading: the group's committed
offsets, the hot store's keys, bronze, and last the dead letters, in bronze and behind it in Kafka. Every record that the group has passed
must be in the hot store, or a letter of the group must point to exactly that record; every hot event whose record has landed must be a good
one in bronze. What is under way is counted, not judged.
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
from storage.hot_store.letters import Place, read_letters
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings

SQL_DIR = Path(__file__).parent / "sql"
MAX_NAMED = 20
# Copies of one key may differ in their time: the hot store has the first one, maybe of a day that bronze's rows here do not reach.
COPIES_WITHIN = timedelta(days=7)
# Before anything has landed.
_NO_COPIES = """
create temp table good_copies (
    app_id text, event_id text, occurred_at timestamptz, kept_partition integer, kept_offset bigint, kept_occurred_at timestamptz
)
"""


@dataclass(frozen=True)
class Reconciliation:
    """What was compared and what differs. Lists name `app_id/event_id`, the first MAX_NAMED in order; counts are whole."""

    hot_count: int
    bronze_count: int
    missing_count: int
    missing: tuple[str, ...]
    unfounded_count: int
    unfounded: tuple[str, ...]
    doubled_count: int
    doubled: tuple[str, ...]
    """Keys that the hot store holds more than once."""
    excused_count: int
    excused: tuple[str, ...]
    """Not there because every record of theirs is a dead letter of the group; `tidemark hot-store redrive` brings them back."""

    @property
    def ok(self) -> bool:
        """True when nothing differs that cannot be under way and no dead letter explains."""
        return not (self.unfounded_count or self.missing_count or self.doubled_count)

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
    """Compares all kept days. Raises: StoreUnavailableError, and KafkaError or ServiceUnreachableError when the broker does not answer."""
    moment = now or datetime.now(UTC)
    first_moment = start_of(first_kept_day(moment, ttl_days))
    since, until = first_moment - COPIES_WITHIN, moment + timedelta(days=1)
    passed = group.committed()
    with tempfile.TemporaryDirectory(prefix="tidemark-hot-") as folder, open_session(storage) as session:
        _load_hot(session, store.keys(since, until), Path(folder) / "keys.ndjson")
        version = latest_version(storage)
        landed = landed_offsets(storage, version) if version is not None else {}
        _load_offsets(session, "passed", "next_offset", passed)
        _load_offsets(session, "landed", "last_offset", landed.get(group.live_topic, {}))
        landed_letters = landed.get(group.dead_letter_topic, {})
        _load_lettered(session, list(read_letters(session, storage.bronze_uri, version, landed_letters, group)))
        if version is None:
            session.execute(_NO_COPIES)
        else:
            values = {"uri": storage.bronze_uri, "version": version, "topic": group.live_topic, "since": since}
            session.execute(_read("good_copies"), values)
        absent = session.execute(_read("missing"), {"first_moment": first_moment}).fetchall()
        unfounded = session.execute(_read("unfounded")).fetchall()
        doubled = session.execute(_read("doubled")).fetchall()
        counted = "(select count(*) from {} where occurred_at >= $first_moment)"
        [[hot_count, bronze_count]] = session.execute(
            f"select {counted.format('hot')}, {counted.format('good_copies')}", {"first_moment": first_moment}
        ).fetchall()
    missing = [(app_id, event_id) for app_id, event_id, is_excused in absent if not is_excused]
    excused = [(app_id, event_id) for app_id, event_id, is_excused in absent if is_excused]
    return Reconciliation(
        hot_count,
        bronze_count,
        len(missing),
        _named(missing),
        len(unfounded),
        _named(unfounded),
        len(doubled),
        _named(doubled),
        len(excused),
        _named(excused),
    )


def _load_hot(session: duckdb.DuckDBPyConnection, keys: Iterator[HotKey], path: Path) -> None:
    """The hot store's keys as a table, by way of a file: the shortest way of many rows into DuckDB."""
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        for key in keys:
            file.write(encoder.encode(key) + b"\n")
    columns = (
        "{app_id: 'varchar', event_id: 'varchar', kafka_partition: 'integer', kafka_offset: 'bigint', "
        "occurred_at: 'timestamptz'}"
    )
    session.execute(
        f"create temp table hot as from read_json(?, format => 'newline_delimited', columns => {columns})", [str(path)]
    )


def _load_offsets(session: duckdb.DuckDBPyConnection, table: str, column: str, offsets: Mapping[int, int]) -> None:
    session.execute(f"create temp table {table} (kafka_partition integer, {column} bigint)")
    for partition, offset in offsets.items():
        session.execute(f"insert into {table} values (?, ?)", [partition, offset])


def _load_lettered(session: duckdb.DuckDBPyConnection, places: list[Place]) -> None:
    session.execute(
        "create temp table lettered as select unnest(?::integer[]) as kafka_partition, unnest(?::bigint[]) as kafka_offset",
        [[partition for partition, _ in places], [offset for _, offset in places]],
    )


def _read(name: str) -> str:
    return (SQL_DIR / f"{name}.sql").read_text()


def _named(rows: list[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{app_id}/{event_id}" for app_id, event_id in rows[:MAX_NAMED])
