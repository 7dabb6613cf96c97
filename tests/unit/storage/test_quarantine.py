"""What a selection chooses, and batches of bounded memory that leave nothing out: over a Delta table made by hand."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingestion.contracts.quarantine import Coordinates
from storage import quarantine
from storage.bronze import BronzeError
from storage.duckdb_session import open_session
from storage.landed_records import fill_places
from storage.quarantine import Quarantine, Selection
from storage.settings import StorageSettings
from storage.verification.queries import load
from tests.fixtures.bronze_rows import DEAD_LETTER_TOPIC, BronzeRow, write_bronze

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REASONS = ("missing_field:user_id", "malformed_json")


def row(offset: int) -> BronzeRow:
    """A dead letter; every second one of the second app and reason, one a day."""
    return BronzeRow(
        offset,
        b"x" * (offset + 1),
        None,
        None,
        event_type=None,
        contract=None,
        app_id=("first", "second")[offset % 2],
        received_at=NOON + timedelta(days=offset),
        kafka_topic=DEAD_LETTER_TOPIC,
        dlq_stage="edge",
        rejection_reason=REASONS[offset % 2],
    )


ROWS = [row(offset) for offset in range(8)]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quarantine]:
    """Eight rows, of which the first is redriven and published, the second noted only. Bronze lacks nothing."""
    home: Path = tmp_path_factory.mktemp("quarantine")
    settings = StorageSettings(bronze_uri=str(home / "bronze"), builds_dir=home, extensions_dir=home / "extensions")
    write_bronze(settings.bronze_uri, ROWS)
    with open_session(settings) as session:
        session.execute(load("empty_lake"))
        for item in ROWS:
            session.execute(
                "insert into lake.silver.quarantine by name select ? as kafka_topic, 0 as kafka_partition, ? as kafka_offset, "
                "? as app_id, ? as reason, 'edge' as stage, ? as received_at, ? as ingested_at, ?::date as event_date, "
                "? as event_hour, ? as raw_value",
                [item.kafka_topic, item.kafka_offset, item.app_id, item.rejection_reason, item.received, item.received,
                 item.event_hour.date(), item.event_hour, item.value],
            )  # fmt: skip
        session.execute(
            "insert into lake.silver.redrives by name select 'raw' as kafka_topic, 1 as kafka_partition, unnest([9, 7]) as kafka_offset, "
            "unnest(['copy', 'e']) as event_id, unnest([timestamptz '2026-02-02', timestamptz '2026-02-01']) as ingested_at, "
            f"'{DEAD_LETTER_TOPIC}' as origin_topic, 0 as origin_partition, 0 as origin_offset"
        )
        fill_places(session, "noted", {Coordinates(DEAD_LETTER_TOPIC, 0, 1): "noted"})
        session.execute(quarantine._QUARANTINED)
        yield Quarantine(session, settings, None)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), {0, 1, 2, 3, 4, 5, 6, 7}),
        (Selection(reasons=("missing_field",)), {0, 2, 4, 6}),
        (Selection(reasons=("missing_field:user_id", "too_deep")), {0, 2, 4, 6}),
        (Selection(reasons=("missing",)), set()),
        (Selection(app_id="second", stages=("edge", "silver")), {1, 3, 5, 7}),
        (Selection(stages=("silver",)), set()),
        (Selection(from_at=NOON + timedelta(days=2), to_at=NOON + timedelta(days=4)), {2, 3}),
        (Selection(status="redriven"), {0, 1}),
        (Selection(status="quarantined", limit=2), {6, 7}),
    ],
)
def test_a_selection_chooses(opened: Quarantine, selection: Selection, expected: set[int]) -> None:
    assert {entry.coordinates.offset for entry in opened.entries(selection)} == expected
    if selection.limit is None:
        assert sum(count for *_, count in opened.counts(selection)) == len(expected)


def test_a_redriven_row_names_the_first_record_that_recovers_it_or_waits_for_it(opened: Quarantine) -> None:
    first, second = (opened.find(Coordinates(DEAD_LETTER_TOPIC, 0, offset)) for offset in (0, 1))
    assert first is not None
    assert second is not None
    assert (first.redriven_as, first.redriven_event_id) == (Coordinates("raw", 1, 7), "e")
    assert (second.status, second.redriven_as, second.redriven_event_id) == ("redriven", None, "noted")
    assert opened.find(Coordinates(DEAD_LETTER_TOPIC, 0, 8)) is None


@pytest.mark.parametrize(("records", "size_bytes"), [(500, 10**6), (3, 10**6), (500, 8), (1, 1)])
def test_batches_have_every_record_once_with_its_bytes(
    opened: Quarantine, monkeypatch: pytest.MonkeyPatch, records: int, size_bytes: int
) -> None:
    monkeypatch.setattr(quarantine, "BATCH_RECORDS", records)
    monkeypatch.setattr(quarantine, "BATCH_BYTES", size_bytes)
    batches = list(opened.batches(Selection()))
    assert [record.value for batch in batches for record in batch] == [item.value for item in ROWS]
    assert all(len(batch) <= records for batch in batches)
    assert all(len(batch) == 1 or sum(len(record.value) for record in batch) <= size_bytes for batch in batches)
    assert [len(batch) for batch in opened.batches(Selection(limit=1))] == [1]


def test_a_row_that_bronze_does_not_hold_is_named(opened: Quarantine, tmp_path: Path) -> None:
    settings = StorageSettings(bronze_uri=str(tmp_path / "bronze"))
    write_bronze(settings.bronze_uri, ROWS[:1])
    poorer = Quarantine(opened._session, settings, None)
    with pytest.raises(BronzeError, match=f"{DEAD_LETTER_TOPIC}/0/1"):
        list(poorer.batches(Selection()))
