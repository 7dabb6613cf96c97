"""What a broker holds of an app as rows of bronze, with all headers: landing itself is Spark's, and tested elsewhere."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import duckdb

from ingestion.contracts import headers
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from storage.verification.kafka_log import BrokerLog, Record
from tests.fixtures.bronze_rows import COLUMNS, BronzeRow, append_relation

Headers = Sequence[tuple[str, str | bytes | None]]


def land(bootstrap: str, uri: str, app_id: str, rejected: Mapping[str, str] | None = None) -> None:
    """Lands the app's live records and dead letters. `rejected`: event id → why landing takes its live record for bad."""
    log = BrokerLog(bootstrap, (LIVE_TOPIC, DEAD_LETTER_TOPIC))
    for record in log.read(log.offset_ranges()):
        if record.app_id == app_id:
            write_with_headers(uri, _row(record, rejected or {}), record.headers)


def write_with_headers(uri: str, row: BronzeRow, stamps: Headers) -> None:
    """Appends a record with these headers, which the shared builder does not make."""
    pairs = ", ".join("struct_pack(key := ?, value := ?::blob)" for _ in stamps)
    marks, values = [], []
    for name, value in zip(COLUMNS, row.as_tuple(), strict=True):
        marks.append(f"[{pairs}]" if name == "headers" else "?")
        values += [part for header in stamps for part in header] if name == "headers" else [value]
    with duckdb.connect() as session:
        session.execute("set TimeZone = 'UTC'")
        session.execute(f"create table landed ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
        session.execute(f"insert into landed values ({', '.join(marks)})", values)
        append_relation(uri, session.table("landed"))


def _row(record: Record, rejected: Mapping[str, str]) -> BronzeRow:
    stamps = {name: (value or b"").decode() for name, value in reversed(record.headers)}
    is_letter = record.topic == DEAD_LETTER_TOPIC
    return BronzeRow(
        record.offset,
        record.value,
        datetime.fromisoformat(stamps[headers.OCCURRED_AT]),
        stamps[headers.EVENT_ID],
        stamps[headers.EVENT_TYPE],
        stamps[headers.DATA_SCHEMA],
        stamps[headers.SOURCE],
        record.key,
        record.topic,
        record.partition,
        datetime.fromisoformat(stamps[headers.RECEIVED_AT]),
        datetime.fromtimestamp(record.timestamp_milliseconds / 1000, UTC),
        dlq_stage=stamps[headers.DEAD_LETTER_STAGE] if is_letter else None,
        rejection_reason=stamps[headers.DEAD_LETTER_REASON] if is_letter else rejected.get(stamps[headers.EVENT_ID]),
    )
