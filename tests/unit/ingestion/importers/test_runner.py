"""The importer over a sink in memory: in order, resumable, everything counted once."""

import tomllib
from datetime import date
from pathlib import Path

import pytest

from ingestion.importers import runner
from ingestion.importers.errors import UnreachableError, UnreadableFileError
from ingestion.importers.mapping import ImportMapping
from ingestion.importers.rows import RowReader
from ingestion.importers.runner import Importer, ImportPlan
from ingestion.importers.state import AcknowledgedRows, ImportState, MemoryStore
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import NOW, encode

MAPPING = """
[columns]
event_id = "id"
event_type = "type"
user_id = "user"
timestamp = "at"
[[rules]]
family = "generic"
"""


class CountingStore(MemoryStore):
    """Keeps what was counted too."""

    def __init__(self, state: ImportState | None = None) -> None:
        super().__init__(state)
        self.accepted = self.rejected = 0

    def save(self, state, rows) -> None:  # type: ignore[no-untyped-def]  # see MemoryStore
        super().save(state, rows)
        self.accepted += sum(part.accepted for part in rows)
        self.rejected += sum(part.rejected for part in rows)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CHUNK_ROWS", 10)


def lines(count: int, bad: frozenset[int] = frozenset()) -> bytes:
    events = ({"id": f"e{n}", "type": "t", "user": "u", "at": "2020-01-01T00:00:00Z"} for n in range(count))
    return b"".join(b"{bad\n" if n in bad else encode(event) + b"\n" for n, event in enumerate(events))


def importer(
    path: Path, sink: InMemorySink, store: MemoryStore, *, keeps_rejected: bool = True, patience: float = 5.0
) -> Importer:
    mapping = ImportMapping.model_validate(tomllib.loads(MAPPING))
    plan = ImportPlan(mapping, "shop", "events.import.v1", "events.dlq.v1", date(2015, 1, 1), patience, keeps_rejected)
    return Importer(plan, RowReader(path, "ndjson"), sink, store, clock=lambda: NOW, sleep=lambda _: None)


def ids(sink: InMemorySink) -> list[object]:
    return [dict(record.headers).get("ce_id") for record in sink.records if record.topic == "events.import.v1"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.json"
    path.write_bytes(lines(95, frozenset({3, 94})))
    return path


def test_everything_is_imported_in_order_and_counted(file: Path) -> None:
    sink, store = InMemorySink(), CountingStore()
    run = importer(file, sink, store)
    state = run.run()
    assert state == ImportState(95, 93, 2, {"malformed_json": 2}, True)
    assert (store.state, store.accepted, store.rejected) == (state, 93, 2)
    assert ids(sink) == [f"e{n}" for n in range(95) if n not in (3, 94)]
    assert [record.value for record in sink.records if record.topic == "events.dlq.v1"] == [b"{bad", b"{bad"]
    assert run.tally.examples[0].startswith("row 4: malformed_json")


@pytest.mark.parametrize("killed_after", [0, 1, 10, 37, 94, 95])
def test_a_restart_goes_on_behind_the_saved_row(file: Path, killed_after: int) -> None:
    whole = InMemorySink()
    importer(file, whole, MemoryStore()).run()
    sink = InMemorySink()
    store = MemoryStore(ImportState(killed_after, killed_after, 0, {}))
    assert importer(file, sink, store).run().row_number == 95
    assert ids(sink) == [event_id for event_id in ids(whole) if int(str(event_id)[1:]) >= killed_after]


def test_what_was_not_acknowledged_is_sent_again(file: Path) -> None:
    sink, store = InMemorySink(), CountingStore()
    sink.failing = {2, 5}
    assert importer(file, sink, store).run().accepted == 93
    assert sorted(ids(sink), key=str) == sorted((f"e{n}" for n in range(95) if n not in (3, 94)), key=str)
    assert store.accepted == 93


def test_a_broker_that_stays_away_stops_it_at_a_row_to_go_on_from(file: Path) -> None:
    sink, store = InMemorySink(), CountingStore()
    sink.available = False
    with pytest.raises(UnreachableError):
        importer(file, sink, store, patience=-1.0).run()
    assert (store.state.row_number, store.state.is_finished, store.accepted) == (0, False, 0)
    sink.available = True
    assert importer(file, sink, store).run().is_finished


def test_a_damaged_file_is_imported_as_far_as_it_goes(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "file.json.gz"
    path.write_bytes(gzip.compress(lines(5000))[:-9])
    sink, store = InMemorySink(), CountingStore()
    with pytest.raises(UnreadableFileError):
        importer(path, sink, store).run()
    assert store.state.row_number == len(ids(sink)) == store.accepted >= 4900
    assert not store.state.is_finished


def test_rejected_rows_of_an_earlier_run_are_not_kept_twice(file: Path) -> None:
    sink, store = InMemorySink(), CountingStore()
    state = importer(file, sink, store, keeps_rejected=False).run()
    assert (state.rejected, store.rejected) == (2, 0)
    assert {record.topic for record in sink.records} == {"events.import.v1"}


def test_saved_rows_are_counted_in_their_hour(file: Path) -> None:
    seen: list[AcknowledgedRows] = []

    class Recording(MemoryStore):
        def save(self, state, rows) -> None:  # type: ignore[no-untyped-def]  # see MemoryStore
            super().save(state, rows)
            seen.extend(rows)

    importer(file, InMemorySink(), Recording()).run()
    assert seen == [AcknowledgedRows("shop", NOW.replace(minute=0), 93, 2)]
