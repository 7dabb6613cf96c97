"""Which bodies break their contract, asked of `ingestion.contracts` itself.

dbt repeats the contracts in SQL; the checker asks the Python that defines them, so that the two cannot be wrong together. Only the
rejected coordinates go back to DuckDB: they are few.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

import duckdb

from ingestion.contracts.families import only
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.validation import Validator, ValidEvent
from storage.verification import queries

IsValid = Callable[[str, str, bytes], bool]
"""Contract, event type and value of a record that landed as good: does the body keep its contract?"""

FETCH_ROWS = 20_000
LATEST = datetime(9999, 12, 30, tzinfo=UTC)


def write_rejected_bodies(
    session: duckdb.DuckDBPyConnection, steps: Sequence[tuple[date, date]], is_valid: IsValid
) -> int:
    """Makes the table rejected_bodies(kafka_topic, kafka_partition, kafka_offset) for the days of the steps; returns its size."""
    session.execute(
        "create or replace temp table rejected_bodies (kafka_topic varchar, kafka_partition integer, kafka_offset bigint)"
    )
    rejected: list[tuple[str, int, int]] = []
    for first_day, last_day in steps:
        result = session.execute(queries.load("good_bodies"), {"first_day": first_day, "last_day": last_day})
        while rows := result.fetchmany(FETCH_ROWS):
            rejected.extend(
                (topic, partition, offset)
                for topic, partition, offset, contract, event_type, is_filed, value in rows
                if not (is_filed and is_valid(contract, event_type, value))
            )
    if rejected:
        columns = [list(column) for column in zip(*rejected, strict=True)]
        session.execute("insert into rejected_bodies select unnest($1), unnest($2), unnest($3)", columns)
    return len(rejected)


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
