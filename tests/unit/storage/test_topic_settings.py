"""The topics' names: read once, refused when they cannot be, and known again when they change."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from ingestion.contracts.topics import TopicNames
from runtime.settings import EXIT_CONFIGURATION, describe_invalid
from storage.settings import StorageSettings
from storage.topic_changes import describe_changed_roles, describe_unnamed

NAMES = TopicNames("live", "imports", "letters", "downloads")


@pytest.mark.feature("S0-4", "S2-14")
def test_every_role_has_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_TOPIC", "live")
    monkeypatch.setenv("KAFKA_DLQ_TOPIC", "letters")
    monkeypatch.setenv("TIDEMARK_KAFKA_IMPORT_TOPIC", "imports")
    monkeypatch.setenv("TIDEMARK_KAFKA_DOWNLOADS_TOPIC", "downloads")
    assert StorageSettings().topics == NAMES


@pytest.mark.feature("S0-4")
def test_one_topic_for_two_roles_is_refused_in_words_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@db/x")
    monkeypatch.setenv("KAFKA_TOPIC", "events")
    monkeypatch.setenv("KAFKA_DLQ_TOPIC", "events")
    with pytest.raises(ValidationError) as refusal:
        StorageSettings()
    assert "secret" not in str(refusal.value)
    assert describe_invalid(refusal.value).startswith(
        "settings are not valid: TIDEMARK_KAFKA_TOPIC and TIDEMARK_KAFKA_DLQ_TOPIC name one topic (events)"
    )


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (("ingestion.api",), EXIT_CONFIGURATION),
        (("ingestion.bridge",), EXIT_CONFIGURATION),
        (("streaming.jobs.land_bronze",), EXIT_CONFIGURATION),
        (("serving",), EXIT_CONFIGURATION),
        (("local_stack.initialise", "topics"), EXIT_CONFIGURATION),
        (("cli.main", "settle"), 2),
        (("cli.main", "up"), 1),
    ],
)
def test_every_entry_point_refuses_it_in_one_line(arguments: tuple[str, ...], exit_code: int, tmp_path: Path) -> None:
    # A home of its own: a stack's values beside the checkout would be taken first.
    environment = {**os.environ, "KAFKA_TOPIC": "no topic", "TIDEMARK_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == exit_code, done.stderr
    assert "TIDEMARK_KAFKA_TOPIC='no topic' is no name of a Kafka topic" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_role_with_another_topic_than_before_is_told_with_both_ways_out() -> None:
    assert describe_changed_roles(NAMES.landed_roles, NAMES) == []
    assert describe_changed_roles({}, NAMES) == []
    [problem] = describe_changed_roles({"live": "old", "imports": "imports"}, NAMES)
    assert "TIDEMARK_KAFKA_TOPIC is live and was old" in problem
    assert "set TIDEMARK_KAFKA_TOPIC=old again" in problem
    assert "another TIDEMARK_HOME" in problem


def test_a_topic_that_no_setting_names_is_told() -> None:
    assert describe_unnamed(["live", "letters"], NAMES) == []
    [problem] = describe_unnamed(["live", "old"], NAMES)
    assert "topic old, which no setting names" in problem
    assert "name it again" in problem
