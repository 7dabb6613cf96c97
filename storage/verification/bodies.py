"""Which bodies break their contract, asked of `ingestion.contracts` itself.

dbt repeats the contracts in SQL; the checker asks the Python that defines them, so that the two cannot be wrong together. Only the
rejected coordinates go back to DuckDB: they are few.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from ingestion.contracts import avro_wire
from ingestion.contracts.families import only
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.validation import Validator, ValidEvent
from storage.verification import queries

IsValid = Callable[[str, str, bytes], bool]
"""Contract, event type and value of a record that landed as good: does the body keep its contract?"""

ReadAvro = Callable[[bytes], bytes]
"""The JSON text of a body in Avro; empty where there is none."""

FETCH_ROWS = 20_000
LATEST = datetime(9999, 12, 30, tzinfo=UTC)


def write_rejected_bodies(
    session: duckdb.DuckDBPyConnection, steps: Sequence[tuple[date, date]], is_valid: IsValid, read_avro: ReadAvro
) -> int:
    """Makes the table rejected_bodies(kafka_topic, kafka_partition, kafka_offset) for the days of the steps; returns its size.

    And avro_facts(kafka_topic, kafka_partition, kafka_offset, user_id, region, error_code, status): what gold counts of the valid bodies in
    Avro, which SQL cannot read.
    """
    session.execute(
        "create or replace temp table rejected_bodies (kafka_topic varchar, kafka_partition integer, kafka_offset bigint)"
    )
    session.execute(
        "create or replace temp table avro_facts (kafka_topic varchar, kafka_partition integer, kafka_offset bigint, "
        "user_id varchar, region varchar, error_code varchar, status varchar)"
    )
    rejected: list[tuple[str, int, int]] = []
    for first_day, last_day in steps:
        result = session.execute(queries.load("good_bodies"), {"first_day": first_day, "last_day": last_day})
        facts: list[tuple[str, int, int, str, str, str | None, str]] = []
        while rows := result.fetchmany(FETCH_ROWS):
            for topic, partition, offset, contract, event_type, is_filed, value in rows:
                is_avro = value is not None and avro_wire.is_avro(contract, value)
                body = read_avro(value) if is_avro else value
                if not (is_filed and is_valid(contract, event_type, body)):
                    rejected.append((topic, partition, offset))
                elif is_avro:
                    facts.append((topic, partition, offset, *_download_facts(json.loads(body))))
        _insert(session, "avro_facts", facts)  # not before: another statement ends the result
    _insert(session, "rejected_bodies", rejected)
    return len(rejected)


def _download_facts(body: dict[str, Any]) -> tuple[str, str, str | None, str]:
    download = body["download"]
    return body["user_id"], body["user_context"]["region"], download.get("error_code"), download["status"]


def _insert(session: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        unnested = ", ".join(f"unnest(${number})" for number in range(1, len(columns) + 1))
        session.execute(f"insert into {table} select {unnested}", columns)


class ContractJudge:
    """Asks the contracts about bodies. The clock rules are left out: silver files a record by its stamps, not by its body's time."""

    def __init__(self) -> None:
        self._validator = Validator(LATEST, date.min)

    def __call__(self, contract: str, event_type: str, value: bytes) -> bool:
        """True when the body is valid under the contract of its header and says the same event type as its header."""
        known = CONTRACTS.get(contract)
        if known is None or not value:
            return False
        verdict = self._validator.judge(value, only(known.family), known)
        return isinstance(verdict, ValidEvent) and verdict.event_type == event_type
