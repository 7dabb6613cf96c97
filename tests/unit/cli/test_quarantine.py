"""Options of the quarantine commands, and foreign text on a terminal."""

from datetime import UTC, datetime

import pytest
import typer

from cli.quarantine import printable
from cli.quarantine_options import Family, fix_of, time_of
from ingestion.redrive.fixes import NoFix, Repaired
from tests.unit.ingestion.redrive.records import letter


def test_foreign_text_cannot_act_on_a_terminal() -> None:
    assert printable("a\x1b[2Jb\r\n\x07é\u202e") == "a\\x1b[2Jb\\r\\n\\x07é\\u202e"


def test_a_date_is_its_midnight() -> None:
    assert time_of("--from", "2026-01-02") == datetime(2026, 1, 2, tzinfo=UTC)
    assert time_of("--from", "2026-01-02T03:04:05+01:00") == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert time_of("--from", None) is None
    with pytest.raises(typer.Exit) as ended:
        time_of("--from", "yesterday")
    assert ended.value.exit_code == 2


def test_options_make_one_rule_for_every_record() -> None:
    assert isinstance(fix_of(None, None, None, None, None, None), NoFix)
    fix = fix_of(None, Family.GENERIC, ["a=x=y", "n:=5"], ["old=new"], ["k=integer"], ["junk"])
    found = fix.apply(letter(), b'{"old":1,"k":"7","junk":0}')
    assert found == Repaired(b'{"new":1,"a":"x=y","n":5,"k":7}', found.family)  # type: ignore[union-attr]  # it is repaired


@pytest.mark.parametrize(
    "options",
    [
        (["novalue"], None, None),
        (["n:={"], None, None),
        (["=x"], None, None),
        (None, ["a="], None),
        (None, None, ["a=float"]),
    ],
)
def test_an_option_that_cannot_be_used_ends_the_command(options: tuple[list[str] | None, ...]) -> None:
    with pytest.raises(typer.Exit) as ended:
        fix_of(None, None, *options, None)
    assert ended.value.exit_code == 2
