"""Replays, plans and scratches on a whole stack, as docs/replay.md shows them, and a replay through kills of what carries it out."""

import re
import shlex
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.architecture.test_replay_doc import COMMANDS
from tests.e2e.stack import Stack, wait_until
from tests.e2e.victims import find_run, kill_service, signal_tree

pytestmark = pytest.mark.slow
TABLES = ("silver.events", "silver.duplicates", "silver.quarantine", "gold.agg_day_events", "gold.fct_user_hours")


def content(stack: Stack, first: str, last: str) -> dict[str, list[tuple[object, ...]]]:
    """Number of rows and hash of every partition (table and day) of the days, whatever the order of rows."""
    query = (
        "select event_date, count(*), sum(hash(t::varchar)::hugeint) from lake.{} as t "
        "where event_date between ?::date and ?::date group by event_date order by event_date"
    )
    return {table: stack.published_rows(query.format(table), first, last) for table in TABLES}


def send_days(stack: Stack, first: datetime, count: int, per_day: int, seed: int) -> None:
    """Events of several days, with duplicates and late ones."""
    for index in range(count):
        anchor = (first + timedelta(days=index, hours=12)).isoformat()
        shares = ("--duplicates", "0.05", "--late", "0.05")
        stack.run(
            "send", "--events", str(per_day), "--rate", "2000", "--seed", str(seed + index), "--anchor", anchor, *shares
        )
    stack.settle(300)


@pytest.mark.feature("S1-11", "S1-F2", "S4-16", "S1-5")
def test_every_command_of_the_page_works_on_a_stack(running_stack: Stack) -> None:
    """The page's dates become days that hold data; numbers and names are those that the commands before made."""
    stack = running_stack
    monday = (datetime.now(UTC) - timedelta(days=60)).replace(hour=0, minute=0, second=0, microsecond=0)
    send_days(stack, monday, count=2, per_day=300, seed=900)
    days = {f"2026-01-0{5 + index}": f"{monday + timedelta(days=index):%Y-%m-%d}" for index in range(3)}
    before = content(stack, days["2026-01-05"], days["2026-01-06"])
    newest = stack.get("/api/v1/publications", limit=1)["publications"][0]["id"]
    answers: dict[str, object] = {}
    replay_id = plan_id = None
    for command in COMMANDS:
        line = command
        for shown, real in days.items():
            line = line.replace(shown, real)
        if re.match(r"replay status ", line):
            line = f"replay status {replay_id}"
        elif re.match(r"(apply|plans show) ", line):
            line = re.sub(r" \d+", f" {plan_id}", line, count=1)
        answer = stack.run(*shlex.split(line), timeout=300)
        answers[command] = answer
        replay_id = answer.get("replay_id") or replay_id if isinstance(answer, dict) else replay_id
        plan_id = answer.get("plan_id") or plan_id if isinstance(answer, dict) else plan_id
    (status,) = [answer for command, answer in answers.items() if command.startswith("replay status")]
    assert isinstance(status, dict)
    assert (status["state"], status["publications"]) == ("done", [])
    (query,) = [answer for command, answer in answers.items() if command.startswith("scratch query")]
    assert isinstance(query, list)
    assert query
    assert content(stack, days["2026-01-05"], days["2026-01-06"]) == before, "unchanged code: every partition is equal"
    assert stack.publications_after(newest) == [], "and nothing was published"


@pytest.mark.feature("K4", "S1-11")
def test_a_replay_goes_on_after_its_daemon_and_its_runs_are_killed(running_stack: Stack) -> None:
    stack = running_stack
    first = (datetime.now(UTC) - timedelta(days=300)).replace(hour=0, minute=0, second=0, microsecond=0)
    # More than 31 days between them: as many runs as groups.
    groups = [first, first + timedelta(days=40), first + timedelta(days=80)]
    for index, group in enumerate(groups):
        send_days(stack, group, count=2, per_day=200, seed=950 + 10 * index)
    start, end = f"{first:%Y-%m-%d}", f"{groups[-1] + timedelta(days=2):%Y-%m-%d}"
    before = content(stack, start, end)
    newest = stack.get("/api/v1/publications", limit=1)["publications"][0]["id"]

    replay_id = stack.run("replay", "--from", start, "--to", end, "--detach")["replay_id"]
    fork_server = stack.processes()["fork_server"]["pid"]
    run = wait_until(lambda: find_run(fork_server), 120, "a run of the replay is in progress", interval=0.1)
    kill_service("daemon", stack.processes()["daemon"]["pid"])
    signal_tree(run, signal.SIGKILL)

    def state() -> dict[str, object]:
        found: dict[str, object] = stack.run("replay", "status", str(replay_id))
        return found

    wait_until(lambda: any(day["is_finished"] for day in state()["days"]), 240, "the first days are rebuilt", 1)  # type: ignore[attr-defined]
    finished = {day["first_hour"]: day["run_id"] for day in state()["days"] if day["is_finished"]}  # type: ignore[attr-defined]
    kill_service("daemon", stack.processes()["daemon"]["pid"])
    started = time.monotonic()
    wait_until(lambda: state()["state"] == "done", 300, "the replay is done", 1)
    print(f"done {time.monotonic() - started:.0f} s after the second kill")
    runs = {day["first_hour"]: day["run_id"] for day in state()["days"]}  # type: ignore[attr-defined]
    assert {day: runs[day] for day in finished} == finished, "a finished day is not rebuilt"
    assert content(stack, start, end) == before
    assert stack.publications_after(newest) == []
    stack.verify()
