"""Real public event files through the whole pipeline: published gold equals the files' own figures, counted here in plain Python.

The files are not part of the repository; without the folder the tests are skipped.
"""

import csv
import gzip
import json
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.control import make_engine
from storage.control.tables import imports
from tests.e2e.stack import Stack

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MAPPINGS = Path(__file__).resolve().parents[1] / "mappings"
GRAINS = {
    "agg_5min_events": timedelta(minutes=5),
    "agg_hour_events": timedelta(hours=1),
    "agg_day_events": timedelta(days=1),
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DESKDROP_TYPES = {
    "VIEW": "view",
    "LIKE": "like",
    "COMMENT CREATED": "comment",
    "BOOKMARK": "BOOKMARK",
    "FOLLOW": "FOLLOW",
}
SETTLE_SECONDS = 900

pytestmark = [
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        not DATA.is_dir(), reason=f"the real files are not here: {DATA.name}/ beside the checkout is absent"
    ),
]

Event = tuple[str, str, datetime]
"""Type as published, user, time."""
Cells = dict[tuple[str, datetime], tuple[int, int]]
"""(events, distinct users) by type and window start."""


@dataclass(frozen=True)
class Figures:
    """What a file says of itself."""

    row_count: int
    by_type: dict[str, int]
    user_count: int
    windows: dict[str, Cells]


def github_events(path: Path) -> Iterator[Event]:
    """One event per distinct id."""
    seen: set[str] = set()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["id"] not in seen:
                seen.add(row["id"])
                yield row["type"], str(row["actor"]["id"]), datetime.fromisoformat(row["created_at"])


def deskdrop_events(path: Path) -> Iterator[Event]:
    """One event per distinct row: a full duplicate counts once."""
    seen: set[tuple[str, ...]] = set()
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            whole = tuple(row.values())
            if whole not in seen:
                seen.add(whole)
                yield (
                    DESKDROP_TYPES[row["eventType"]],
                    row["personId"],
                    datetime.fromtimestamp(int(row["timestamp"]), UTC),
                )


def count(events: Iterator[Event]) -> Figures:
    """The figures of a file, grain by grain."""
    by_type: Counter[str] = Counter()
    everyone: set[str] = set()
    users: dict[str, dict[tuple[str, datetime], list[str]]] = {grain: defaultdict(list) for grain in GRAINS}
    for kind, user, moment in events:
        by_type[kind] += 1
        everyone.add(user)
        for grain, length in GRAINS.items():
            users[grain][kind, moment - (moment - EPOCH) % length].append(user)
    windows = {
        grain: {cell: (len(seen), len(set(seen))) for cell, seen in cells.items()} for grain, cells in users.items()
    }
    return Figures(by_type.total(), dict(by_type), len(everyone), windows)


def published(stack: Stack, app: str) -> Figures:
    """The same figures, of the platform."""
    windows: dict[str, Cells] = {}
    for grain in GRAINS:
        rows = stack.published_rows(
            f"select event_type, window_start, event_count, unique_users from lake.gold.{grain} where app_id = ?", app
        )
        windows[grain] = {(kind, start.astimezone(UTC)): (events, users) for kind, start, events, users in rows}
        assert len(windows[grain]) == len(rows)
    by_type = dict(
        stack.published_rows(
            "select event_type, sum(event_count)::bigint from lake.gold.fct_user_hours where app_id = ? group by 1", app
        )
    )
    users = stack.published_rows("select count(distinct user_id) from lake.gold.fct_user_hours where app_id = ?", app)
    return Figures(sum(by_type.values()), by_type, users[0][0], windows)


def arguments(file: Path, mapping: str, app: str, *more: str) -> list[str]:
    """The command line of an import."""
    return ["import", str(file), "--mapping", str(MAPPINGS / mapping), "--app", app, *more]


@pytest.mark.slow
def test_the_github_hour(running_stack: Stack) -> None:
    stack, file = running_stack, DATA / "github-events-2015-01-01-00.json.gz"
    expected = count(github_events(file))
    report = stack.run(*arguments(file, "github_events.toml", "github"), timeout=300)
    print(f"import: {report}")
    stack.settle(SETTLE_SECONDS)
    assert published(stack, "github") == expected
    before = stack.verify()["counts"]

    stack.run(*arguments(file, "github_events.toml", "github"), timeout=300)
    stack.run(*arguments(file, "github_events.toml", "github", "--again"), timeout=300)
    stack.settle(SETTLE_SECONDS)
    assert published(stack, "github") == expected
    after = stack.verify()["counts"]
    assert after["published"] == before["published"]
    assert after["duplicates"] - before["duplicates"] == expected.row_count


def rows_done(stack: Stack, path_name: str) -> tuple[int, bool]:
    """(rows acknowledged so far, finished?) of a file's import."""
    engine = make_engine(stack.storage_settings(), pool_size=1)
    try:
        with engine.connect() as connection:
            row = connection.execute(
                sa.select(imports.c.row_number, imports.c.finished_at).where(imports.c.path_name == path_name)
            ).one_or_none()
    finally:
        engine.dispose()
    return (0, False) if row is None else (row.row_number, row.finished_at is not None)


def kill_half_way(stack: Stack, line: list[str], path_name: str, row_count: int) -> None:
    """Starts the import and kills it -9 when a third of its rows is acknowledged."""
    process = stack.start(*line)
    while process.poll() is None and rows_done(stack, path_name)[0] < row_count // 3:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    done, is_finished = rows_done(stack, path_name)
    assert done > 0
    assert not is_finished, "the import was over before it could be killed"


@pytest.mark.slow
def test_the_content_app_killed_half_way(running_stack: Stack) -> None:
    stack, file = running_stack, DATA / "deskdrop-interactions-2016-2017.csv.gz"
    expected = count(deskdrop_events(file))
    line = arguments(file, "deskdrop_interactions.toml", "deskdrop")
    kill_half_way(stack, line, file.name, expected.row_count)
    report = stack.run(*line, timeout=300)
    print(f"import: {report}")
    stack.settle(SETTLE_SECONDS)
    assert published(stack, "deskdrop") == expected
    assert_api_week(stack, expected)
    stack.verify()

    newest = stack.get("/api/v1/publications", limit=1)["newest"]
    stack.run(*line, timeout=300)
    stack.settle(SETTLE_SECONDS)
    assert stack.get("/api/v1/publications", limit=1)["newest"] == newest


def assert_api_week(stack: Stack, expected: Figures) -> None:
    """A week of days as the analytics API answers it (engagement only)."""
    until = datetime(2016, 6, 6, tzinfo=UTC)
    wanted = {"time_window": "1day", "hours_back": 168, "until": until.isoformat(), "limit": 1000}
    answer = stack.get("/api/v1/analytics/events", key=stack.make_key("deskdrop", "read"), **wanted)
    cells = {
        (cell["event_type"], datetime.fromisoformat(cell["window_start"])): (cell["event_count"], cell["unique_users"])
        for cell in answer["metrics"]
    }
    week = {
        (kind, day): numbers
        for (kind, day), numbers in expected.windows["agg_day_events"].items()
        if until - timedelta(days=7) <= day < until and kind in ("view", "like", "comment")
    }
    assert week
    assert cells == week
