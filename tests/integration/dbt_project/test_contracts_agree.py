"""The contracts in SQL give the verdict of the contracts in Python: for every case of the table, and for bodies nobody thought of."""

import json
from datetime import date

import pytest

from ingestion.contracts.families import Family
from ingestion.contracts.reasons import Reason
from ingestion.contracts.validation import Rejection, Validator, ValidEvent, Verdict
from tests.fixtures import bodies
from tests.integration.dbt_project import world
from tests.integration.dbt_project.conftest import Build, contract_rows

pytestmark = pytest.mark.integration
CLOCK_REASONS = (Reason.BEFORE_FIRST_DAY, Reason.OCCURRED_IN_FUTURE)
CASE_COUNT = len(bodies.ONE_FLAW_OR_NONE)


def _python_verdict(contract: str, value: bytes) -> Verdict:
    return Validator(world.at("12:40"), date(2015, 1, 1)).judge(value, lambda _document: Family(contract.split("/")[0]))


def _python_reason(contract: str, value: bytes) -> str | None:
    verdict = _python_verdict(contract, value)
    # Silver files a record by its stamps: when a body says it happened is no business of the SQL.
    is_rejected = isinstance(verdict, Rejection) and verdict.reason not in CLOCK_REASONS
    return str(verdict.reason) if is_rejected else None


@pytest.fixture(scope="module")
def sql_reasons(built: Build) -> dict[int, str | None]:
    """Reason code by offset, without the name of the field; None for a valid body."""
    return dict(
        built.rows(
            "select kafka_offset, nullif(split_part(coalesce(reason, ''), ':', 1), '') from staging.stg_bronze_events "
            "where app_id = 'contracts'"
        )
    )


@pytest.mark.feature("S0-3")
def test_every_case_has_the_reason_that_python_gives(sql_reasons: dict[int, str | None]) -> None:
    expected = {number: _python_reason(*case) for number, case in enumerate(bodies.ONE_FLAW_OR_NONE)}

    differing = {
        bodies.ONE_FLAW_OR_NONE[number][1][:150]: (sql_reasons[number], reason)
        for number, reason in expected.items()
        if sql_reasons[number] != reason
    }
    assert differing == {}, "body: (SQL, Python)"


def test_mutated_bodies_are_accepted_by_both_or_by_none(sql_reasons: dict[int, str | None]) -> None:
    rows = [row for row in contract_rows() if row.app_id == "contracts"][CASE_COUNT:]
    differing = {
        row.value: (sql_reasons[row.kafka_offset], python)
        for row in rows
        if ((python := _python_reason(row.contract or "", row.value or b"")) is None)
        != (sql_reasons[row.kafka_offset] is None)
    }

    assert differing == {}, "body: (SQL, Python)"
    assert 20 < sum(reason is None for number, reason in sql_reasons.items() if number >= CASE_COUNT) < 380


def test_the_user_of_a_valid_body_is_the_one_that_python_names(built: Build) -> None:
    rows = built.rows(
        "select kafka_offset, contract, user_id from staging.stg_bronze_events where app_id = 'contracts' and reason is null"
    )
    bodies_by_offset = {row.kafka_offset: row.value or b"" for row in contract_rows()}
    differing = {}
    for offset, contract, user_id in rows:
        verdict = _python_verdict(contract, bodies_by_offset[offset])
        if isinstance(verdict, ValidEvent) and verdict.user_id != user_id:
            differing[bodies_by_offset[offset]] = (user_id, verdict.user_id)

    assert differing == {}, "body: (SQL, Python)"
    assert len(rows) > 400


def test_a_foreign_body_is_its_payload(built: Build) -> None:
    rows = built.rows(
        "select kafka_offset, payload from staging.stg_bronze_events "
        "where app_id = 'contracts' and reason is null and contract in ('segment/1', 'cloudevent/1')"
    )
    bodies_by_offset = {row.kafka_offset: row.value or b"" for row in contract_rows()}

    assert [json.loads(payload) for _, payload in rows] == [json.loads(bodies_by_offset[offset]) for offset, _ in rows]
    assert len(rows) > 200
