"""Spark reads the structs that are written from the contracts, and valid bodies through them."""

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from ingestion.contracts.families import only
from ingestion.contracts.formats import spark_ddl
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.validation import Validator, ValidEvent
from tests.fixtures import bodies
from tests.unit.ingestion.builders import NOW

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.integration
STRUCTS = {name: text for contract in CONTRACTS.values() for name, text in spark_ddl.structs(contract).items()}
# Spark's integers have a sign.
LARGEST_BIGINT = 2**63 - 1


def valid_documents(struct: str) -> list[dict[str, Any]]:
    """The valid bodies of the table that are of this shape."""
    contract, _, event_type = struct.partition(" ")
    judge = Validator(NOW, date(2015, 1, 1)).judge
    found = []
    for name, body in bodies.ONE_FLAW_OR_NONE:
        verdict = judge(body, only(CONTRACTS[contract].family)) if name == contract else None
        if isinstance(verdict, ValidEvent) and (not event_type or verdict.event_type == event_type):
            found.append(json.loads(body))
    return found


@pytest.fixture(scope="module")
def read_bodies(spark: "SparkSession") -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
    """Struct → (document, what Spark made of it): all in one job, because a job costs more than all bodies."""
    from pyspark.sql import functions as F  # noqa: N812 - its usual name
    from pyspark.sql.types import StructType

    rows = [(struct, json.dumps(document)) for struct in STRUCTS for document in valid_documents(struct)]
    columns = [
        F.from_json("body", StructType.fromDDL(text)).alias(f"read_{number}")
        for number, text in enumerate(STRUCTS.values())
    ]
    found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {struct: [] for struct in STRUCTS}
    for row in spark.createDataFrame(rows, "struct STRING, body STRING").select("struct", "body", *columns).collect():
        read = row[f"read_{[*STRUCTS].index(row['struct'])}"].asDict(recursive=True)
        found[row["struct"]].append((json.loads(row["body"]), read))
    return found


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_field_of_a_valid_body_arrives(
    read_bodies: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]], struct: str
) -> None:
    assert len(read_bodies[struct]) >= 2
    for document, read in read_bodies[struct]:
        assert_arrived(document, read)


def assert_arrived(document: dict[str, Any], found: dict[str, Any]) -> None:
    for name, value in document.items():
        if name not in found or (type(value) is int and value > LARGEST_BIGINT):
            continue  # a field that the contract does not know
        if isinstance(value, dict) and isinstance(found[name], dict):
            assert_arrived(value, found[name])
        elif isinstance(value, (dict, list, int, float)) and isinstance(found[name], str):
            assert json.loads(found[name]) == value
        else:
            assert found[name] == value, (name, value, found[name])


def test_meaning_unit_and_personal_data_are_comments(spark: "SparkSession") -> None:
    from pyspark.sql.types import StructType

    schema = StructType.fromDDL(STRUCTS["download/1"])
    user, download = schema["user_id"], schema["download"].dataType
    assert user.metadata["comment"].endswith("Personal data: identifier.")
    assert "client's" in schema["event_id"].metadata["comment"]
    assert isinstance(download, StructType)
    assert download["duration_seconds"].metadata["comment"].endswith("Unit: s.")
