"""`tidemark verify` as scripts judge by it: 0 on a sound platform, else 1 and the offence by name, 3 when nothing could be verified.

Broker, bronze, lake and database are real; the fault harness believes these exit codes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import Result
from confluent_kafka import Producer
from typer.testing import CliRunner

from cli.main import build_app
from ingestion.contracts.topics import TopicNames
from local_stack.topics import create_topics
from storage.settings import TOPIC_VARIABLES
from tests.integration.verification.rows import engagement
from tests.integration.verification.world import World

pytestmark = [pytest.mark.integration, pytest.mark.feature("K10")]
COUNT = 3
LOSE_ONE = "delete from lake.silver.events where kafka_offset = 1"


@pytest.fixture
def live_topic(world: World, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The live topic of a platform of its own, which the command knows through the environment. It holds COUNT records."""
    mark = uuid4().hex[:8]
    names = TopicNames(*(f"{role}.{mark}" for role in TOPIC_VARIABLES))
    create_topics(kafka_bootstrap, names.specs)
    settings = world.settings
    for name, value in {
        **{variable: names.by_role[role] for role, variable in TOPIC_VARIABLES.items()},
        "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "TIDEMARK_HOME": str(tmp_path / "home"),
        **{
            f"TIDEMARK_STORAGE_{field.upper()}": str(getattr(settings, field))
            for field in ("database_url", "bronze_uri", "lake_uri", "builds_dir", "extensions_dir")
        },
    }.items():
        monkeypatch.setenv(name, value)
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "acks": "all"})
    for number in range(COUNT):
        row = engagement(number)
        headers = list(row.all_headers.items())
        producer.produce(names.live, row.value, row.key, partition=0, headers=headers)  # type: ignore[arg-type]
    assert producer.flush(10) == 0
    return names.live


def land(world: World, topic: str, *offsets: int) -> int:
    return world.land(*(engagement(offset, kafka_topic=topic) for offset in offsets or range(COUNT)))


def verify(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["verify", *arguments])


def test_a_sound_platform_is_0(world: World, live_topic: str) -> None:
    world.publish(land(world, live_topic))

    told, data = verify(), verify("--json")

    assert (told.exit_code, data.exit_code) == (0, 0), told.output
    assert "Everything holds." in told.output
    assert json.loads(data.stdout)["ok"] is True


def lose_a_row(world: World, topic: str) -> None:
    world.publish(land(world, topic), tamper=LOSE_ONE)


def change_a_row(world: World, topic: str) -> None:
    world.publish(land(world, topic), tamper="update lake.silver.events set app_id = 'other' where kafka_offset = 1")


def change_a_count(world: World, topic: str) -> None:
    world.publish(land(world, topic), tamper="update lake.gold.agg_hour_events set event_count = event_count + 1")


def publish_on_another_base(world: World, topic: str) -> None:
    version = land(world, topic)
    world.publish(version)
    world.publish(version, base_publication_id=7)


@pytest.mark.parametrize(
    ("invariant", "break_it", "offence"),
    [
        ("I1", lambda world, topic: land(world, topic, 0, 2), "{live}/0/1 is missing"),
        ("I2", lose_a_row, "{live}/0/1 is in no silver table"),
        ("I3", change_a_row, "events {live}/0/1 differs from bronze"),
        ("I4", change_a_count, "published, but not so: {{'app_id': public"),
        ("I5", publish_on_another_base, "publication 2: is based on 7, not on 1"),
        ("I6", lose_a_row, "app public, hour 2026-02-01T10:00Z: 3 landed, 2 silver"),
    ],
    ids=["I1", "I2", "I3", "I4", "I5", "I6"],
)
def test_a_broken_invariant_is_1_and_named(
    world: World, live_topic: str, invariant: str, break_it: Callable[[World, str], object], offence: str
) -> None:
    break_it(world, live_topic)
    expected = offence.format(live=live_topic)

    told, data = verify(), verify("--json")

    assert (told.exit_code, data.exit_code) == (1, 1), told.output
    assert expected in " ".join(told.output.split())
    report = json.loads(data.stdout)
    named = [text for check in report["checks"] if check["invariant"] == invariant for text in check["offending"]]
    assert report["ok"] is False
    assert any(text.startswith(expected) for text in named), named


def test_a_lost_receipt_is_1_and_named(world: World, live_topic: str, tmp_path: Path) -> None:
    world.publish(land(world, live_topic))
    receipts = tmp_path / "receipts.ndjson"
    receipts.write_text('{"app_id": "public", "event_id": "e1"}\n{"app_id": "public", "event_id": "lost"}\n')

    told = verify("--receipts", str(receipts))

    assert told.exit_code == 1
    assert "public/lost is acknowledged and nowhere" in told.output


def test_a_platform_without_a_broker_is_3(live_topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setattr("storage.verification.kafka_log.CONNECT_TIMEOUT_SECONDS", 1)
    assert verify().exit_code == 3
