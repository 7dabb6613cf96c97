"""A platform without its processes: records go to the session's broker, are landed and published by hand, and the commands are called.

Landing is by hand because Spark's is tested elsewhere, and end to end with these commands; everything else is the product's own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from cli.main import build_app
from ingestion.contracts import headers
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from ingestion.contracts.validation import Validator, ValidEvent
from ingestion.sinks.kafka import KafkaSink, KafkaSinkSettings
from ingestion.sinks.records import OutgoingRecord, Stamper
from ingestion.sinks.sink import Batch
from local_stack.postgres import create_database
from platform_assets.settings import PROJECT_ROOT
from storage.settings import StorageSettings
from tests.fixtures.lakehouse import Lakehouse, open_lakehouse
from tests.integration.ingestion.reading import Landed, read_all
from tests.integration.verification.world import StampedRow, write_stamped


@dataclass
class Platform:
    """One app's records, from the edge to publications."""

    lakehouse: Lakehouse
    sink: KafkaSink
    bootstrap: str
    app_id: str = field(default_factory=lambda: f"app_{uuid4().hex[:8]}")
    landed: set[tuple[str, int, int]] = field(default_factory=set)
    hours: set[datetime] = field(default_factory=set)

    def take(self, *bodies: bytes) -> None:
        """What the edge does with these bodies: events to the live topic, the rest to the dead letters."""
        now = datetime.now(UTC)
        stamper, validator = (
            Stamper(self.app_id, now, topic=LIVE_TOPIC, dead_letter_topic=DEAD_LETTER_TOPIC),
            Validator(now, StorageSettings().first_day),
        )
        records = []
        for number, body in enumerate(bodies):
            verdict = validator.judge(body)
            if isinstance(verdict, ValidEvent):
                records.append(stamper.stamp(body, verdict, verdict.event_id or f"made-{number}"))
            else:
                records.append(stamper.dead_letter(body, verdict))
        self.produce(*records)

    def produce(self, *records: OutgoingRecord) -> None:
        """Records as they are."""
        assert not self.sink.submit(Batch.of(records)).result(60).failed

    def land(self) -> int:
        """Lands what is new of this app; says how many records that were."""
        records = [
            record
            for topic in (LIVE_TOPIC, DEAD_LETTER_TOPIC)
            for record in read_all(
                self.bootstrap, topic, lambda record: record.headers.get(headers.SOURCE) == self.app_id
            )
            if (record.topic, record.partition, record.offset) not in self.landed
        ]
        rows = [_row(record) for record in records]
        if rows:
            write_stamped(self.lakehouse.settings.bronze_uri, rows)
        self.landed |= {row.coordinates for row in rows}
        self.hours |= {row.event_hour for row in rows}
        return len(rows)

    def publish(self) -> None:
        """Lands and publishes everything."""
        self.land()
        self.lakehouse.publish(self.hours)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """This app's rows of a published table."""
        names = [
            name for name, _ in next(spec for spec in self.lakehouse.specs if spec.qualified_name == table).columns
        ]
        rows = [dict(zip(names, row, strict=True)) for row in self.lakehouse.rows(table)]
        return [row for row in rows if row["app_id"] == self.app_id]

    def command(self, *arguments: str, expected_exit: int = 0) -> Any:
        """A `tidemark … --json` in this process; its data."""
        done = CliRunner().invoke(build_app(), [*arguments, "--json"])
        assert done.exit_code == expected_exit, (done.exit_code, done.output, done.exception)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def killed_redrive(self, *arguments: str) -> None:
        """`tidemark quarantine redrive`, killed after the broker has acknowledged and before anything is noted."""
        script = (
            "import os, signal\n"
            "from ingestion.redrive.journal import PostgresJournal\n"
            "PostgresJournal.note = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            "from cli.main import main\n"
            "main()\n"
        )
        line = [sys.executable, "-c", script, "quarantine", "redrive", "--yes", *arguments]
        done = subprocess.run(
            line, env=dict(os.environ), cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == -9, done.stderr


def _row(record: Landed) -> StampedRow:
    stamps = record.headers

    def moment(name: str) -> datetime | None:
        return datetime.fromisoformat(stamps[name]) if name in stamps else None

    return StampedRow(
        kafka_topic=record.topic,
        kafka_partition=record.partition,
        kafka_offset=record.offset,
        key=record.key,
        value=record.value,
        app_id=stamps[headers.SOURCE],
        event_id=stamps.get(headers.EVENT_ID),
        event_type=stamps.get(headers.EVENT_TYPE),
        contract=stamps.get(headers.DATA_SCHEMA),
        occurred_at=moment(headers.OCCURRED_AT),
        received_at=moment(headers.RECEIVED_AT),
        ingested_at=datetime.now(UTC),
        dlq_stage=stamps.get(headers.DEAD_LETTER_STAGE),
        rejection_reason=stamps.get(headers.DEAD_LETTER_REASON),
        redrive_of=stamps.get(headers.REDRIVE_OF),
    )


@pytest.fixture(scope="package")
def lakehouse(
    kafka_bootstrap: str, postgres_url: str, extensions_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lakehouse]:
    """One lake for these tests: every test has an app of its own in it."""
    home = tmp_path_factory.mktemp("quarantine")
    settings = StorageSettings(
        database_url=create_database(postgres_url, f"quarantine_{uuid4().hex}"),
        kafka_bootstrap_servers=kafka_bootstrap,
        bronze_uri=str(home / "bronze"),
        lake_uri=str(home / "lake"),
        builds_dir=home / "builds",
        extensions_dir=extensions_dir,
    )
    lakehouse = open_lakehouse(settings, checks=False)
    yield lakehouse
    lakehouse.engine.dispose()


@pytest.fixture
def platform(lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform for one app, known to the commands through the environment."""
    settings = lakehouse.settings
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEMARK_KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
    for name in ("database_url", "bronze_uri", "lake_uri", "builds_dir", "extensions_dir"):
        monkeypatch.setenv(f"TIDEMARK_STORAGE_{name.upper()}", str(getattr(settings, name)))
    sink = KafkaSink(KafkaSinkSettings(settings.kafka_bootstrap_servers, LIVE_TOPIC, message_timeout_seconds=30.0))
    yield Platform(lakehouse, sink, settings.kafka_bootstrap_servers)
    sink.close(10)
