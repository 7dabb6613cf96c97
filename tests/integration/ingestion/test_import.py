"""The importer against real parts: resumable, idempotent, counted."""

import gzip
import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from ingestion.contracts.experiments import Experiment
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, IMPORT_TOPIC
from ingestion.importers import runner
from ingestion.importers.errors import ImportRunningError
from ingestion.importers.mapping import ImportMapping
from ingestion.importers.rows import RowReader
from ingestion.importers.runner import Importer, ImportPlan
from ingestion.importers.state import ImportState, PostgresStore, fingerprint, only_importer
from ingestion.sinks.kafka import KafkaSink, KafkaSinkSettings
from storage.control import acknowledged, experiments
from storage.control.keys import create_key
from storage.settings import StorageSettings
from tests.integration.ingestion.reading import Landed, read_all
from tests.unit.ingestion.builders import encode, product

pytestmark = pytest.mark.integration
MAPPING = ImportMapping.model_validate(
    tomllib.loads(
        """
        format = "ndjson"
        [columns]
        event_type = "type"
        user_id = "user"
        timestamp = "at"
        [[rules]]
        family = "generic"
        payload = "payload"
        """
    )
)
ROWS = 6000


@pytest.fixture
def sink(kafka_bootstrap: str) -> Iterator[KafkaSink]:
    sink = KafkaSink(KafkaSinkSettings(kafka_bootstrap, checked_topic=IMPORT_TOPIC, message_timeout_seconds=30.0))
    yield sink
    sink.close(10)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """6,000 rows: every hundredth cannot be read, every thousandth is a copy of the one before."""
    rows = []
    for number in range(ROWS):
        number -= number % 1000 == 999
        event = {"type": "t", "user": f"u{number % 50}", "at": "2020-01-01T00:00:00Z", "payload": {"n": number}}
        rows.append(b"{unreadable" if number % 100 == 0 else encode(event))
    path = tmp_path / "rows.json.gz"
    path.write_bytes(gzip.compress(b"\n".join(rows)))
    return path


class _KilledError(Exception):
    """Stands for kill -9: nothing runs after it."""


def run(
    file: Path, engine: Engine, sink: KafkaSink, app_id: str, progress: Callable[[int, int], None] = lambda *_: None
) -> ImportState:
    store = PostgresStore(
        engine, fingerprint(file, MAPPING, app_id, lambda _: None), file.name, IMPORT_TOPIC, DEAD_LETTER_TOPIC
    )
    plan = ImportPlan(MAPPING, app_id, IMPORT_TOPIC, DEAD_LETTER_TOPIC, date(2015, 1, 1))
    return Importer(plan, RowReader(file, "ndjson"), sink, store, progress=progress).run()


def test_an_import_killed_half_way_and_started_again_ends_the_same(
    file: Path, engine: Engine, sink: KafkaSink, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "CHUNK_ROWS", 100)
    monkeypatch.setattr(runner, "_SAVE_SECONDS", 0.0)
    app_id = f"app_{uuid4().hex[:8]}"
    saved = 0

    def kill(_position: int, rows: int) -> None:
        nonlocal saved
        saved = rows
        if rows > ROWS // 2:
            raise _KilledError

    with pytest.raises(_KilledError):
        run(file, engine, sink, app_id, kill)
    assert saved < ROWS
    state = run(file, engine, sink, app_id)
    assert (state.row_number, state.accepted, state.rejected, state.is_finished) == (ROWS, 5940, 60, True)
    assert state.rejected_by_reason == {"malformed_json": 60}

    def is_ours(record: Landed) -> bool:
        return record.headers["ce_source"] == app_id

    records = read_all(kafka_bootstrap, IMPORT_TOPIC, is_ours)
    assert len({record.headers["ce_id"] for record in records}) == 5940 - 6
    assert len({record.value for record in records}) == 5940 - 6
    letters = read_all(kafka_bootstrap, DEAD_LETTER_TOPIC, is_ours)
    assert {letter.value for letter in letters} == {b"{unreadable"}
    counted: Counter[str] = Counter()
    for app, _, topic, count in acknowledged.read_all(engine):  # a row per hour, and an hour may end here
        counted[topic] += count if app == app_id else 0
    assert counted[IMPORT_TOPIC] == 5940
    assert counted[IMPORT_TOPIC] <= len(records)
    assert counted[DEAD_LETTER_TOPIC] == 60

    again = run(file, engine, sink, app_id)
    assert again == state
    assert len(read_all(kafka_bootstrap, IMPORT_TOPIC, is_ours)) == len(records)


def test_the_identity_is_content_mapping_and_app_and_not_the_name(file: Path, tmp_path: Path) -> None:
    def identity(path: Path, app_id: str = "a", mapping: ImportMapping = MAPPING) -> str:
        return fingerprint(path, mapping, app_id, lambda _: None)

    copy = tmp_path / "renamed.gz"
    copy.write_bytes(file.read_bytes())
    assert identity(copy) == identity(file)
    assert identity(file, "b") != identity(file)
    assert identity(file, mapping=MAPPING.model_copy(update={"format": "csv"})) != identity(file)


def test_the_same_import_cannot_run_twice_at_once(engine: Engine) -> None:
    import_id = "ab" * 32
    with only_importer(engine, import_id):
        with pytest.raises(ImportRunningError), only_importer(engine, import_id):
            pass
        with only_importer(engine, "cd" * 32):
            pass
    with only_importer(engine, import_id):
        pass


@pytest.mark.feature("S1-3")
def test_product_events_are_judged_by_the_registered_experiments(
    tmp_path: Path, engine: Engine, storage_settings: StorageSettings, kafka_bootstrap: str
) -> None:
    app_id, mapping, file = f"app_{uuid4().hex[:8]}", tmp_path / "mapping.toml", tmp_path / "events.ndjson"
    mapping.write_text('format = "ndjson"\n[[rules]]\nfamily = "product"\nverbatim = true\n')
    claims = [
        {"experiment_id": "checkout", "variant": "green"},
        {"experiment_id": "checkout", "variant": "A"},
        {"experiment_id": "unregistered", "variant": "A"},
        {"experiment_id": "unregistered", "variant": "green"},
        {"app_id": "another"},
        {},
    ]
    events = [product(event_id=f"p-{number}", **said) for number, said in enumerate(claims)]
    file.write_bytes(b"\n".join(map(encode, events)))
    experiments.put(engine, app_id, Experiment("checkout", ("control", "green"), (0.5, 0.5)), lambda _: None)

    def run_command(*options: str, app: str = app_id, database_url: str = storage_settings.database_url) -> Any:
        environment = {
            **os.environ,
            "TIDEMARK_HOME": str(tmp_path),
            "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
            "TIDEMARK_STORAGE_DATABASE_URL": database_url,
        }
        line = [sys.executable, "-m", "cli.main", "import", str(file), "--mapping", str(mapping), "--app", app]
        done = subprocess.run([*line, "--json", *options], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    rejected = {"unknown_variant": 2, "wrong_app": 1}
    for report in (run_command("--dry-run"), run_command(), run_command()):
        assert (report["accepted"], report["rejected_by_reason"]) == (3, rejected)
    create_key(engine, "another", "write")
    assert run_command("--dry-run", app="public")["rejected_by_reason"] == {"unknown_variant": 2, "key_required": 1}
    away = run_command("--dry-run", database_url="postgresql://tidemark@127.0.0.1:1/none")
    assert away["rejected_by_reason"] == {"wrong_app": 1}, "without the registry variants are taken as they come"

    def is_ours(record: Landed) -> bool:
        return record.headers["ce_source"] == app_id

    landed = read_all(kafka_bootstrap, IMPORT_TOPIC, is_ours)
    assert sorted(record.headers["ce_id"] for record in landed) == ["p-0", "p-2", "p-5"]
    letters = read_all(kafka_bootstrap, DEAD_LETTER_TOPIC, is_ours)
    assert Counter(letter.headers["ce_dlqreason"] for letter in letters) == rejected
