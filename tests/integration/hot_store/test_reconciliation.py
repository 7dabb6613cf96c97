"""Hot against bronze: equal says so, and each way of differing is found and named.

Bronze and store are real, the group's offsets given.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from storage.hot_store.group_offsets import GroupOffsets
from storage.hot_store.opening import open_hot_store
from storage.hot_store.reconciliation import Reconciliation, reconcile
from storage.hot_store.settings import HotStoreSettings
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import (
    COLUMNS,
    DEAD_LETTER_TOPIC,
    IMPORT_TOPIC,
    BronzeRow,
    append_relation,
    engagement_row,
    write_bronze,
)
from tests.fixtures.hot_events import hot_event

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class GivenOffsets(GroupOffsets):
    """A group's offsets as a test says."""

    passed: dict[int, int] = field(default_factory=dict)
    letter_ends: dict[int, int] = field(default_factory=dict)

    def committed(self) -> dict[int, int]:
        return self.passed

    def ends(self, topic: str) -> dict[int, int]:
        return self.letter_ends


@pytest.fixture
def store(storage_settings: StorageSettings) -> Iterator[HotStore]:
    store = open_hot_store(HotStoreSettings(), storage_settings)
    yield store
    store.close()


def compare(
    storage: StorageSettings, store: HotStore, passed: int, letters: dict[int, int] | None = None
) -> Reconciliation:
    group = GivenOffsets("unused", "event-processors", passed={0: passed}, letter_ends=letters or {})
    return reconcile(storage, store, group, ttl_days=7, now=NOW)


def landed(offset: int, event_id: str | None = None, seconds_ago: float = 60, **changes: Any) -> BronzeRow:
    return engagement_row(offset, NOW - timedelta(seconds=seconds_ago), event_id, app_id="app", **changes)


def hot(offset: int, event_id: str | None = None, seconds_ago: float = 60) -> Any:
    return hot_event(event_id or f"e{offset}", occurred_at=NOW - timedelta(seconds=seconds_ago), kafka_offset=offset)


@pytest.mark.feature("S2-10")
def test_before_anything_has_landed_nothing_differs(storage_settings: StorageSettings, store: HotStore) -> None:
    assert compare(storage_settings, store, 0).ok
    store.write([hot(0)])
    found = compare(storage_settings, store, 1)
    assert found.ok, "its record has not landed yet"
    assert (found.hot_count, found.bronze_count) == (1, 0)


@pytest.mark.feature("S2-10")
def test_equal_sides_are_equal_whatever_is_under_way(storage_settings: StorageSettings, store: HotStore) -> None:
    days = 86_400
    write_bronze(
        storage_settings.bronze_uri,
        [
            landed(0),
            landed(1, "e0", seconds_ago=30),  # a copy
            landed(2, rejection_reason="invalid_utf8"),
            landed(3, "import", kafka_topic=IMPORT_TOPIC),
            landed(4, seconds_ago=9 * days),  # older than what is kept
            landed(5),
            landed(6),  # the group has not come so far
        ],
    )
    store.write([hot(0), hot(5), hot(9, "not landed")])

    found = compare(storage_settings, store, 6)

    assert found.ok, found
    assert (found.hot_count, found.bronze_count, found.missing, found.unfounded) == (3, 3, (), ())


@pytest.mark.feature("S2-10")
def test_what_is_missing_and_what_is_unfounded_is_named(storage_settings: StorageSettings, store: HotStore) -> None:
    rows = [landed(offset) for offset in range(40)] + [landed(40, rejection_reason="null_key")]
    write_bronze(storage_settings.bronze_uri, rows)
    store.write([hot(offset) for offset in range(10)] + [hot(40), hot(39, "never sent")])

    found = compare(storage_settings, store, 41)

    assert not found.ok
    assert (found.missing_count, found.unfounded_count) == (30, 2)
    assert found.missing[:2] == ("app/e10", "app/e11")
    assert len(found.missing) == 20
    assert found.unfounded == ("app/e40", "app/never sent")


@pytest.mark.feature("S2-10")
@pytest.mark.feature("S2-5")
def test_a_dead_letter_of_the_group_explains_what_is_missing(
    storage_settings: StorageSettings, store: HotStore
) -> None:
    write_bronze(storage_settings.bronze_uri, [landed(0), landed(1)])
    store.write([hot(0)])
    waiting = compare(storage_settings, store, 2, letters={0: 1})
    assert waiting.ok
    assert (waiting.missing_count, waiting.waiting_letters) == (1, 1)
    assert not compare(storage_settings, store, 2).ok

    letter = BronzeRow(0, b"{}", None, None, None, None, "app", kafka_topic=DEAD_LETTER_TOPIC, dlq_stage="consumer")
    for group, missing in (("others", 1), ("event-processors", 0)):
        stamps = {"ce_dlqtopic": "events.raw.v1", "ce_dlqpartition": "0", "ce_dlqoffset": "1", "ce_dlqgroup": group}
        write_with_headers(storage_settings.bronze_uri, letter, stamps)
        assert compare(storage_settings, store, 2).missing_count == missing


def write_with_headers(uri: str, row: BronzeRow, stamps: dict[str, str]) -> None:
    """Appends a record with these headers, which the shared builder does not make."""
    headers = ", ".join("struct_pack(key := ?, value := ?::blob)" for _ in stamps)
    marks, values = [], []
    for name, value in zip(COLUMNS, row.as_tuple(), strict=True):
        marks.append(f"[{headers}]" if name == "headers" else "?")
        values += (
            [part for key, text in stamps.items() for part in (key, text.encode())] if name == "headers" else [value]
        )
    with duckdb.connect() as session:
        session.execute("set TimeZone = 'UTC'")
        session.execute(f"create table landed ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
        session.execute(f"insert into landed values ({', '.join(marks)})", values)
        append_relation(uri, session.table("landed"))
