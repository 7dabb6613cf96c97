"""docs/replay.md shows commands that the command line takes. `tests/e2e/test_replay.py` runs them all on a stack."""

import re
import shlex

import pytest
import typer

from cli.main import build_app
from platform_assets.settings import PROJECT_ROOT

TEXT = (PROJECT_ROOT / "docs" / "replay.md").read_text()
COMMANDS = re.findall(r"^\$ tidemark (.+)$", TEXT, re.MULTILINE)


def test_there_are_commands_of_every_kind() -> None:
    assert {command.split()[0] for command in COMMANDS} == {"replay", "plan", "plans", "apply", "scratch"}


@pytest.mark.parametrize("command", COMMANDS)
def test_its_options_and_arguments_are_known(command: str) -> None:
    """Parses the whole line without running anything."""
    found = typer.main.get_command(build_app())
    words = shlex.split(command)
    context = found.make_context("tidemark", [], resilient_parsing=True)
    while words and hasattr(found, "commands") and words[0] in found.commands:
        found, words = found.commands[words[0]], words[1:]
        context = found.make_context(found.name, list(words), parent=context)
    assert context.args == [] or context.args == words
