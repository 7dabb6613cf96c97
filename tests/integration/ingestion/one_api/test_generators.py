"""Generated streams of every family against the API as it runs: the ground truth is what the answers and Kafka say."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from cli.main import build_app
from ingestion.contracts.families import OWN_FAMILIES
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from tests.integration.ingestion.one_api.keys import known_key
from tests.integration.ingestion.processes import ApiProcess
from tests.integration.ingestion.reading import Landed, read_all

pytestmark = pytest.mark.integration


class Shop:
    """An app of this test alone, and the commands that send for it."""

    def __init__(self, api: ApiProcess, engine: Engine, bootstrap: str, folder: Path) -> None:
        self.app_id = f"app_{uuid4().hex[:8]}"
        self._bootstrap = bootstrap
        self._options = [
            "--endpoint", str(api.client.base_url), "--key", known_key(engine, self.app_id),
            "--receipts", str(folder / "receipts.ndjson"), "--json",
        ]  # fmt: skip

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The report of `tidemark …`."""
        result = CliRunner().invoke(build_app(), [*arguments, *self._options])
        assert result.exit_code == code, result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def landed(self, topic: str) -> list[Landed]:
        """This app's records."""
        return read_all(self._bootstrap, topic, lambda record: record.headers.get("ce_source") == self.app_id)


@pytest.fixture
def shop(api: ApiProcess, engine: Engine, kafka_bootstrap: str, tmp_path: Path) -> Shop:
    return Shop(api, engine, kafka_bootstrap, tmp_path)


@pytest.mark.feature("S4-1", "S1-16")
def test_all_families_mixed_are_taken_as_their_ground_truth_says(shop: Shop, tmp_path: Path) -> None:
    shares = ("--duplicates", "0.05", "--malformed", "0.1", "--late", "0.05")
    report = shop.run("send", "--family", "all", "--events", "1000", "--rate", "0", *shares)
    truth = report["truth"]
    assert (report["sent"], report["accepted"], report["rejected"]) == (1000, truth["accepted"], truth["rejected"])
    records = shop.landed(LIVE_TOPIC)
    lines = Counter(record.headers["ce_dataschema"] for record in records)
    ids = Counter(schema for schema, _ in {(each.headers["ce_dataschema"], each.headers["ce_id"]) for each in records})
    for family, its in truth["families"].items():
        assert (lines[f"{family}/1"], ids[f"{family}/1"]) == (its["accepted"], its["unique_events"])
    assert len(shop.landed(DEAD_LETTER_TOPIC)) == truth["rejected"] == 100
    receipts = [json.loads(line) for line in (tmp_path / "receipts.ndjson").read_text().splitlines()]
    assert Counter(receipt["event_id"] for receipt in receipts) == Counter(each.headers["ce_id"] for each in records)


def test_single_events_go_to_the_address_of_their_family(shop: Shop) -> None:
    for family in OWN_FAMILIES:
        events = ("--events", "12", "--malformed", "0.25", "--rate", "0", "--single")
        report = shop.run("send", "--family", family.value, *events)
        assert (report["accepted"], report["rejected"]) == (9, 3), family
    assert Counter(record.headers["ce_dataschema"] for record in shop.landed(LIVE_TOPIC)) == {
        f"{family.value}/1": 9 for family in OWN_FAMILIES
    }


@pytest.mark.feature("S3-2")
def test_a_second_seed_is_the_same_rows_with_the_same_times(shop: Shop) -> None:
    as_of = datetime.now(UTC).isoformat()
    size = ("--users", "30", "--posts", "60", "--hashtags", "40")
    first, second = (shop.run("seed", *size, "--as-of", as_of) for _ in range(2))
    assert first["truth"] == second["truth"]
    records = Counter(
        (record.headers["ce_id"], record.headers["ce_time"], record.value) for record in shop.landed(LIVE_TOPIC)
    )
    assert len(records) == first["accepted"]
    assert set(records.values()) == {2}


def test_registered_experiments_may_have_variants_of_their_own(shop: Shop, tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(
        '[[experiments]]\nexperiment_id = "t"\nvariants = ["x", "y", "z"]\nrates = [0.1, 0.2, 0.3]\nshares = [0.5, 0.3, 0.2]\n'
    )
    arguments = ("send", "--family", "product", "--users", "40", "--rate", "0", "--scenario", str(scenario))
    refused = shop.run(*arguments, code=1)
    assert refused["rejected"] > 0
    report = shop.run(*arguments, "--register")
    assert (report["rejected"], report["accepted"]) == (0, report["truth"]["accepted"])
