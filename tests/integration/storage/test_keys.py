"""API keys in PostgreSQL: what is kept of them, how many live, how they end, and the command that does it."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from cli.main import build_app
from storage.control import make_engine
from storage.control.keys import (
    KeyRing,
    TooManyKeysError,
    create_key,
    issue_key,
    list_keys,
    revoke_key,
    rotate_keys,
)
from storage.settings import StorageSettings

pytestmark = pytest.mark.integration


@pytest.fixture
def engine(storage_settings: StorageSettings) -> Iterator[Engine]:
    """The control tables of this test."""
    engine = make_engine(storage_settings)
    yield engine
    engine.dispose()


def states(engine: Engine, app_id: str = "shop") -> dict[str, str]:
    return {key.key_id: key.state for key in list_keys(engine, app_id)}


@pytest.mark.feature("S1-4")
def test_a_key_is_kept_as_a_hash_with_what_tells_it_apart(engine: Engine) -> None:
    made = issue_key(engine, "shop", "write")
    assert made.plaintext not in repr(made)
    with engine.connect() as connection:
        row = connection.execute(sa.text("select * from control.api_keys")).mappings().one()
    assert made.plaintext not in str(dict(row))
    [key] = list_keys(engine)
    assert (key.prefix, key.last_four) == (made.plaintext[:8], made.plaintext[-4:])
    assert made.plaintext.startswith("tmw_")
    assert (key.state, key.last_used_at, key.expires_at) == ("live", None, None)


def test_an_app_has_two_live_keys_of_a_kind_at_most_even_when_made_at_once(engine: Engine) -> None:
    outcomes: list[str] = []

    def make() -> None:
        try:
            create_key(engine, "shop", "write")
            outcomes.append("made")
        except TooManyKeysError:
            outcomes.append("refused")

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made"] * 2 + ["refused"] * 4
    create_key(engine, "shop", "read")
    create_key(engine, "other", "write")
    revoke_key(engine, next(iter(states(engine))))


def test_rotating_makes_the_next_key_and_ends_the_present_one_at_once_or_after_a_grace(engine: Engine) -> None:
    first = issue_key(engine, "shop", "write")
    read = issue_key(engine, "shop", "read")
    ring = KeyRing(engine, refresh_seconds=0.0)
    second = rotate_keys(engine, "shop", "write", timedelta(seconds=0.5))
    assert [key.key_id for key in second.replaced] == [first.record.key_id]
    assert ring.find(first.plaintext) is not None
    assert ring.find(second.new.plaintext) is not None
    with pytest.raises(TooManyKeysError):
        rotate_keys(engine, "shop", "write", timedelta(hours=1))
    threading.Event().wait(0.6)
    assert ring.find(first.plaintext) is None
    assert states(engine)[first.record.key_id] == "expired"
    third = rotate_keys(engine, "shop", "write")
    assert ring.find(second.new.plaintext) is None
    assert ring.find(third.new.plaintext) is not None
    assert ring.find(read.plaintext) is not None
    assert sorted(states(engine).values()) == ["expired", "live", "live", "revoked"]


def test_a_grace_never_prolongs_a_key(engine: Engine) -> None:
    short = issue_key(engine, "shop", "write", timedelta(seconds=60))
    [replaced] = rotate_keys(engine, "shop", "write", timedelta(days=7)).replaced
    assert replaced.expires_at == short.record.expires_at


def test_a_key_that_ends_by_itself_ends_between_two_readings_too(engine: Engine) -> None:
    ring = KeyRing(engine, refresh_seconds=1000.0)
    key = issue_key(engine, "shop", "read", timedelta(seconds=0.4)).plaintext
    assert ring.find(key) is not None
    threading.Event().wait(0.5)
    assert ring.find(key) is None


def test_the_last_use_is_noted_and_apps_keep_being_guarded_when_all_their_keys_are_revoked(engine: Engine) -> None:
    made, ring = issue_key(engine, "shop", "write"), KeyRing(engine, refresh_seconds=0.0)
    assert ring.find(made.plaintext) is not None
    assert ring.find("tmw_unknown") is None
    [key] = list_keys(engine)
    assert key.last_used_at is not None
    assert revoke_key(engine, key.key_id)
    assert not revoke_key(engine, key.key_id)
    assert ring.find(made.plaintext) is None
    assert ring.apps_with_keys() == {"shop"}


def test_lookups_do_not_wait_for_a_database_that_hangs(engine: Engine, storage_settings: StorageSettings) -> None:
    key, ring = create_key(engine, "shop", "write"), KeyRing(engine, refresh_seconds=0.0)
    assert ring.find(key) is not None
    with engine.begin() as connection:
        connection.execute(sa.text("lock table control.api_keys in access exclusive mode"))
        reader = threading.Thread(target=ring.find, args=(key,))
        reader.start()
        while not ring._lock.locked():
            threading.Event().wait(0.001)
        assert ring.find(key) is not None
    reader.join()


@pytest.fixture
def tidemark(storage_settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> "Tidemark":
    """The command over the test's database."""
    monkeypatch.setattr("local_stack.environment.load", lambda: None)
    monkeypatch.setenv("TIDEMARK_STORAGE_DATABASE_URL", storage_settings.database_url)
    return Tidemark()


class Tidemark:
    """Runs `tidemark keys …` in this process."""

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(build_app(), ["keys", *arguments])

    def json(self, *arguments: str) -> dict[str, object]:
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))


def test_the_command_makes_lists_rotates_and_revokes(tidemark: Tidemark, engine: Engine) -> None:
    made = tidemark.json("create", "shop", "--expires-after", "30d")
    assert str(made["key"]).startswith("tmw_")
    plain = tidemark("create", "shop", "--kind", "read")
    assert plain.stdout.strip().startswith("tmr_")
    assert len(plain.stdout.split()) == 1
    listed = tidemark("list", "shop")
    assert str(made["key_id"]) in listed.stdout.replace("\n", "")
    assert str(made["key"]) not in listed.stdout + str(tidemark.json("list"))
    rotated = tidemark.json("rotate", "shop", "--grace", "1h")
    assert rotated["key"] != made["key"]
    refused = tidemark("rotate", "shop", "--grace", "1h")
    assert refused.exit_code == 1
    assert "at most 2" in refused.stderr
    assert tidemark("create", "shop", "--dry-run").exit_code == 1
    assert tidemark("revoke", str(made["key_id"])).exit_code == 0
    assert tidemark.json("revoke", str(made["key_id"]))["state"] == "revoked"
    assert KeyRing(engine).find(str(rotated["key"])) is not None


def test_dry_runs_change_nothing_and_wrong_usage_says_what_is_right(tidemark: Tidemark, engine: Engine) -> None:
    key = issue_key(engine, "shop", "write")
    before = list_keys(engine)
    assert "key" not in tidemark.json("create", "shop", "--dry-run")
    assert tidemark.json("rotate", "shop", "--dry-run")["would"] == "rotate"
    assert tidemark.json("revoke", key.record.key_id, "--dry-run")["state"] == "live"
    assert list_keys(engine) == before
    for arguments in (["create", "a b"], ["create", "shop", "--kind", "x"], ["rotate", "shop", "--grace", "soon"]):
        assert tidemark(*arguments).exit_code == 2
    mistaken = tidemark("revoke", key.plaintext)
    assert mistaken.exit_code == 1
    assert key.plaintext not in mistaken.output + mistaken.stderr


def test_a_database_that_is_away_is_exit_3(tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_STORAGE_DATABASE_URL", "postgresql://tidemark@127.0.0.1:9/tidemark")
    result = tidemark("list")
    assert result.exit_code == 3
    assert "unreachable" in result.stderr
