"""The commands of docs/quarantine.md, in their order, against the running platform; and the checker after them."""

import os
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from scripts.env_example import ROOT
from tests.e2e.stack import Stack

TEXT = (ROOT / "docs" / "quarantine.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if not language for line in block.splitlines()]
FIX = next(block for language, block in BLOCKS if language == "toml")


def send(stack: Stack, key: str, body: bytes) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    return httpx.post(f"{stack.endpoints['ingestion']}/v1/batch", content=body, headers=headers, timeout=30)


def published(stack: Stack, app_id: str) -> Counter[str]:
    rows = stack.published_rows("select event_id from lake.silver.events where app_id = ?", app_id)
    return Counter(event_id for (event_id,) in rows)


@pytest.mark.feature("S2-5", "S2-F1", "S1-17")
def test_the_page_does_what_it_says(running_stack: Stack, tmp_path: Path) -> None:
    stack = running_stack
    app_id = f"app-{uuid4().hex[:8]}"
    key = stack.make_key(app_id, "write")
    lines = [f'{{"event_id": "lost-{n}", "event_type": "view", "user_id": "u{n}"}}' for n in range(2)] + ["{broken"]
    assert send(stack, key, "\n".join(lines).encode()).json()["rejected"] == 3
    stack.settle()
    (tmp_path / "fix.toml").write_text(FIX)
    answers: list[tuple[str, Any]] = []
    names: dict[str, str] = {"ID": "", "EVENT_ID": "lost-0"}
    for line in COMMANDS:
        text = re.sub(r"--app demo", f"--app {app_id}", line)
        text = re.sub(r"\$(\w+)", lambda name: names[name[1]], text)
        assert text.startswith("tidemark "), line
        arguments = [str(tmp_path / "fix.toml") if word == "fix.toml" else word for word in shlex.split(text)[1:]]
        found = stack.run(*[word for word in arguments if word != "--json"], timeout=300)
        answers.append((line, found))
        if line.startswith("tidemark quarantine list"):
            names["ID"] = next((row["coordinates"] for row in found["rows"] if row["app_id"] == app_id), names["ID"])

    redrives = [found for line, found in answers if "redrive --app" in line]
    assert [(found["dry_run"], found["redriven"], found["already"]) for found in redrives] == [
        (True, 2, 0),
        (False, 2, 0),
        (False, 0, 2),
    ]
    assert all(
        found["selected"]
        == sum(found.get(kind, 0) for kind in ("redriven", "already", "still_bad", "skipped", "expired"))
        for _, found in answers
        if found is not None and "selected" in found
    )
    assert published(stack, app_id) == {"lost-0": 1, "lost-1": 1}
    left = stack.run("quarantine", "list", "--app", app_id, "--status", "quarantined")
    assert [row["reason"] for row in left["rows"]] == ["malformed_json"]
    traced = answers[-1][1]["copies"]
    assert [copy["silver"]["table"] for copy in traced] == ["quarantine", "events"]
    assert traced[1]["gold"]
    assert traced[1]["publications"]
    stack.settle()
    stack.verify()


@pytest.mark.feature("S2-F1")
def test_talk_is_for_people_and_nothing_is_sent_without_a_yes(running_stack: Stack) -> None:
    line = running_stack.command("quarantine", "redrive", "--reason", "no_such_reason")
    done = subprocess.run(
        line,
        env={**os.environ, **running_stack.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--yes" in done.stderr
    nowhere = subprocess.run(
        running_stack.command("trace", f"nowhere-{uuid4()}"),
        env=running_stack.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert nowhere.returncode == 1, nowhere.stderr
    assert "is in no store" in nowhere.stderr
    assert "looked at bronze" in nowhere.stderr
