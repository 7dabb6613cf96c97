"""Names that other deployments already have in their environment: each changes what our own name does, which wins."""

import os
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic_settings import BaseSettings

from ingestion.settings import IngestionSettings
from local_stack import environment
from local_stack.settings import StackSettings
from runtime.aliases import log_conflicts
from runtime.settings import ProcessSettings
from serving.settings import ServingSettings
from storage.settings import StorageSettings
from streaming.settings import StreamingSettings

NAMES: list[tuple[str, str, type[BaseSettings], str, Any]] = [
    ("KAFKA_BOOTSTRAP_SERVERS", "broker-1:9092", StorageSettings, "kafka_bootstrap_servers", "broker-1:9092"),
    ("DATABASE_URL", "postgresql://a@b/c", StorageSettings, "database_url", "postgresql://a@b/c"),
    ("S3_BUCKET", "mine", StorageSettings, "bronze_uri", "s3://mine/bronze/events"),
    ("S3_BUCKET", "mine", StorageSettings, "lake_uri", "s3://mine/lake"),
    ("KAFKA_TOPIC", "topic-a", StorageSettings, "live_topic", "topic-a"),
    ("KAFKA_DLQ_TOPIC", "topic-b", StorageSettings, "dead_letter_topic", "topic-b"),
    ("AWS_REGION", "eu-central-2", StorageSettings, "aws_region", "eu-central-2"),
    ("AWS_REGION", "eu-central-2", StreamingSettings, "aws_region", "eu-central-2"),
    ("AWS_PROFILE", "lake", StorageSettings, "aws_profile", "lake"),
    ("AWS_PROFILE", "lake", StreamingSettings, "aws_profile", "lake"),
    ("ENVIRONMENT", "production", IngestionSettings, "allows_anonymous", False),
    ("ENVIRONMENT", "production", ServingSettings, "is_public_readable", False),
    ("ENVIRONMENT", "production", ProcessSettings, "environment", "production"),
]


@pytest.mark.parametrize(("name", "text", "model", "field", "value"), NAMES)
def test_each_name_changes_a_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, model: type[BaseSettings], field: str, value: object
) -> None:
    assert getattr(model(), field) != value
    monkeypatch.setenv(name, text)
    assert getattr(model(), field) == value


def test_our_own_name_wins_and_a_conflict_is_told_once_without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://theirs")
    monkeypatch.setenv("TIDEMARK_STORAGE_DATABASE_URL", "postgresql://ours")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "same:9092")
    monkeypatch.setenv("TIDEMARK_KAFKA_BOOTSTRAP_SERVERS", "same:9092")
    assert StorageSettings().database_url == "postgresql://ours"
    with structlog.testing.capture_logs() as lines:
        log_conflicts(os.environ, StorageSettings, ProcessSettings)
    assert [(line["used"], line["ignored"]) for line in lines] == [("TIDEMARK_STORAGE_DATABASE_URL", "DATABASE_URL")]
    assert "postgresql" not in str(lines)


def test_an_address_that_is_given_beats_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_BUCKET", "mine")
    monkeypatch.setenv("TIDEMARK_STORAGE_LAKE_URI", "s3://other/lake")
    settings = StorageSettings()
    assert (settings.bronze_uri, settings.lake_uri) == ("s3://mine/bronze/events", "s3://other/lake")


def test_a_stack_takes_them_as_the_callers_own(tmp_path: Path) -> None:
    settings = StackSettings(home=tmp_path)
    outside = {"KAFKA_BOOTSTRAP_SERVERS": "broker-1:9092", "S3_BUCKET": "mine", "DATABASE_URL": "postgresql://db/x"}
    outside |= {"KAFKA_TOPIC": "a", "KAFKA_DLQ_TOPIC": "b", "AWS_REGION": "eu-central-2", "AWS_PROFILE": "lake"}
    values = environment.merge(environment.compute(settings, "secret", "", processors=4), outside)
    assert not environment.uses_own_kafka(values, settings)
    assert not environment.uses_own_postgres(values, settings)
    assert values["TIDEMARK_STORAGE_BRONZE_URI"] == "s3://mine/bronze/events"
    assert values["TIDEMARK_STORAGE_LAKE_URI"] == "s3://mine/lake"
    assert (values["TIDEMARK_KAFKA_TOPIC"], values["TIDEMARK_KAFKA_DLQ_TOPIC"]) == ("a", "b")
    assert (values["TIDEMARK_STORAGE_AWS_REGION"], values["TIDEMARK_STORAGE_AWS_PROFILE"]) == ("eu-central-2", "lake")


def test_a_stack_writes_down_its_topics_for_commands_from_other_shells(tmp_path: Path) -> None:
    values = environment.merge(environment.compute(StackSettings(home=tmp_path), "secret", "", processors=4), {})
    assert values["TIDEMARK_KAFKA_TOPIC"] == "events.raw.v1"
