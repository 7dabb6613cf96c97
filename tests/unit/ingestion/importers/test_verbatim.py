"""Events that are events already: every family is imported as it is, by the mapping that the repository holds."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from ingestion.generators.lines import write_lines
from ingestion.generators.mixed import MixedStream
from ingestion.importers.mapping import format_of, load_mapping
from ingestion.importers.rows import RowReader
from ingestion.importers.runner import Importer, ImportPlan
from ingestion.importers.state import MemoryStore
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import encode, engagement
from tests.unit.ingestion.generators.families import ANCHOR, MAKERS, stream_of

MAPPING = Path(__file__).parents[3] / "mappings" / "tidemark_events.toml"


def import_file(path: Path) -> tuple[Importer, InMemorySink]:
    sink, mapping = InMemorySink(), load_mapping(MAPPING)
    plan = ImportPlan(mapping, "shop", "events.import.v1", "events.dlq.v1", date(2015, 1, 1))
    reader = RowReader(path, format_of(path, mapping))
    run = Importer(plan, reader, sink, MemoryStore(), clock=lambda: ANCHOR + timedelta(minutes=5))
    run.run()
    return run, sink


def test_a_generated_file_of_all_families_is_imported_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    stream = MixedStream({name: stream_of(name, events=200) for name in MAKERS})
    with path.open("wb") as out:
        truth = write_lines(stream, out).truth
    run, sink = import_file(path)
    assert (run.tally.accepted, run.tally.rejected) == (truth.accepted, truth.rejected)
    assert run.tally.by_contract == Counter(
        {f"{name}/1": each.accepted for name, each in truth.families.items()}  # type: ignore[union-attr]  # mixed
    )
    imported = [record.value for record in sink.records if record.topic == "events.import.v1"]
    lines = path.read_bytes().splitlines()
    assert len(imported) + truth.rejected == len(lines)
    assert set(imported) <= set(lines)


def test_an_event_without_an_id_is_not_imported(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(encode(engagement(event_id=...)) + b"\n" + encode(engagement()) + b"\n")
    run, _ = import_file(path)
    assert (run.tally.accepted, run.tally.rejected_by_reason) == (1, {"missing_field": 1})


@pytest.mark.parametrize("name", ["deskdrop_interactions", "github_events", "tidemark_events"])
def test_every_mapping_of_the_repository_can_be_used(name: str) -> None:
    assert load_mapping(MAPPING.with_name(f"{name}.toml")).rules
