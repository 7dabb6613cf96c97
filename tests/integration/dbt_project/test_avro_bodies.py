"""Avro bodies on their way to silver: SQL, the edge and the checker give one verdict, and what is published is what the JSON form says."""

import json
from datetime import date

import pytest

from ingestion.contracts.families import Family, only
from ingestion.contracts.validation import Rejection, Validator
from ingestion.schema_registry.decoding import AvroJudge, decoder_of
from storage.verification.avro_bodies import AvroReader
from storage.verification.bodies import ContractJudge
from tests.integration.dbt_project import avro_bodies, world
from tests.integration.dbt_project.conftest import Build, Inputs, build_arguments, run_dbt
from tests.integration.dbt_project.test_contracts_agree import CLOCK_REASONS

pytestmark = pytest.mark.integration
VERDICTS = "select kafka_offset, nullif(split_part(coalesce(reason, ''), ':', 1), '') from staging.stg_bronze_events where app_id = 'avro'"


def _python_reason(value: bytes) -> str | None:
    decoder = decoder_of("download/1", avro_bodies.TEXTS.get)
    decoder.learn([value])
    validator = Validator(world.at("12:40"), date(2015, 1, 1))
    judge = AvroJudge(validator, decoder) if value[:1] == b"\0" else validator
    verdict = judge.judge(value, only(Family.DOWNLOAD))
    is_rejected = isinstance(verdict, Rejection) and verdict.reason not in CLOCK_REASONS
    return str(verdict.reason) if is_rejected else None


@pytest.mark.feature("S4-2")
def test_sql_gives_the_reason_that_the_edge_gives(built: Build) -> None:
    in_sql = dict(built.rows(VERDICTS))
    expected = {number: _python_reason(value) for number, value in enumerate(avro_bodies.CASES)}
    assert {number: (in_sql[number], reason) for number, reason in expected.items() if in_sql[number] != reason} == {}
    assert {"unknown_schema", "malformed_avro", "invalid_field", "not_finite_number", None} <= set(in_sql.values())
    assert 5 < sum(reason is None for reason in in_sql.values()) < 200


def test_the_checker_takes_the_same_bodies_as_sql(built: Build) -> None:
    is_valid, read = ContractJudge(), AvroReader(avro_bodies.TEXTS)
    in_sql = {number: reason is None for number, reason in built.rows(VERDICTS)}
    by_checker = {
        number: is_valid("download/1", "download", read(value) if value[:1] == b"\0" else value)
        for number, value in enumerate(avro_bodies.CASES)
    }
    assert by_checker == in_sql


@pytest.mark.feature("S4-2")
def test_what_is_published_of_an_avro_body_is_what_its_json_form_says(built: Build) -> None:
    [(user_id, payload)] = built.rows(
        "select user_id, payload from staging.stg_bronze_events where app_id = 'avro' and kafka_offset = 0"
    )
    good = avro_bodies.GOOD_DOWNLOAD
    assert user_id == good["user_id"]
    assert json.loads(payload) == {name: good[name] for name in ("content", "download", "user_context")}


def test_without_schemas_a_build_quarantines_them_with_a_reason(
    inputs: Inputs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("schemas") / "none.json"
    empty.write_text("{}")
    build = run_dbt(
        inputs,
        "without_schemas",
        "run",
        *build_arguments()[1:5],
        "--select",
        "stg_bronze_events",
        TIDEMARK_BUILD_HOURS=json.dumps(world.BUILT_HOURS),
        TIDEMARK_BUILD_AVRO_SCHEMAS=str(empty),
    )
    assert build.success, build.output
    assert dict(build.rows(VERDICTS))[0] == "unknown_schema"
