"""The verdict: what the journal says against what is published, the checker of I1 to I6, the reader's contradictions, recovery times.

The oracle reads only the producer's journal: hourly counts and distinct users by event type and platform are made from it and held
against gold. An event that was tried and never acknowledged may be there or not, but once.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from storage.bronze import landed_offsets
from storage.control import make_engine
from storage.control.hours import read_cursor
from storage.control.tables import alerts
from storage.control.tables import hours as bronze_hours
from storage.hot_store.group_offsets import GroupOffsets
from storage.hot_store.settings import HotStoreSettings
from storage.live.hours import list_due
from storage.live.state import WINDOWS_QUERY
from storage.live.tables import hours as live_hours
from storage.live.tables import minutes, queries
from storage.settings import StorageSettings
from streaming.live_run import DROPPED_ALERT
from tests.e2e.stack import CommandError, Stack, wait_until
from tests.faults.journal import read_journal
from tests.faults.nemesis import Injected
from tests.faults.reader import Readings

SHOWN = 10
CATCH_UP_SECONDS = 120.0
LIVE_CATCH_UP_SECONDS = 600.0
# Behind the lateness: what delivery is given, and a look of the driver and of the sensor that compares.
CLOSING_SECONDS = 240.0
Cell = tuple[datetime, str, str]


@dataclass
class Verdict:
    """One run of the harness. `ok` is the answer; everything else says why."""

    seed: int
    code_version: str
    sent: int
    acknowledged: int
    published: int
    lost: list[str]
    double: list[str]
    invented: list[str]
    wrong_cells: list[str]
    checker: list[str]
    hot_store: list[str]
    live_windows: list[str]
    live_hours_compared: int
    """0 where no hour had closed by the end: nothing is said of the live windows then."""
    api_cells: list[str]
    contradictions: list[str]
    answers_read: int
    publications_read: int
    looked_back: int
    """Answers as of an earlier publication."""
    unanswered: int
    faults: list[dict[str, Any]] = field(default_factory=list)
    downloads: tuple[int, int, int] = (0, 0, 0)
    """Sent straight to Kafka, and of these rows and distinct ids in silver."""
    refused: int = 0
    """Events that the API was to refuse, and did."""
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Nothing lost, double, invented or wrong, and the run came to its end."""
        found = (
            *(self.lost, self.double, self.invented, self.wrong_cells),
            *(self.checker, self.hot_store, self.live_windows, self.api_cells, self.contradictions),
        )
        is_each_download_once = len(set(self.downloads)) == 1 and self.downloads[0] > 0
        has_read = self.answers_read > 0 and self.publications_read > 1 and self.looked_back > 0
        return not any(found) and is_each_download_once and has_read and not self.problem and self.acknowledged > 0

    @property
    def slowest_recovery_seconds(self) -> float:
        """Of all faults."""
        return max((fault["recovery_seconds"] for fault in self.faults), default=0.0)

    @property
    def slowest_return_seconds(self) -> float:
        """Of what was killed: no other fault leaves it to the stack alone when all is ready again."""
        return max((fault["recovery_seconds"] for fault in self.faults if fault["kind"] == "kill"), default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: counts, and the first offenders of each kind."""
        found = {
            key: value[:SHOWN] if isinstance(value, list) and key != "faults" else value
            for key, value in asdict(self).items()
        }
        counts = {f"{name}_count": len(getattr(self, name)) for name in ("lost", "double", "invented", "wrong_cells")}
        slowest = {name: getattr(self, name) for name in ("slowest_recovery_seconds", "slowest_return_seconds")}
        return {"ok": self.ok, **slowest, **counts, **found}


@dataclass(frozen=True)
class Comparison:
    """What the journal and the published tables say differently. `days`: what the journal says of whole days, in the form of `Cell`."""

    lost: list[str]
    double: list[str]
    invented: list[str]
    wrong_cells: list[str]
    days: Mapping[Cell, tuple[int, int]] = field(default_factory=dict, compare=False)


def compare(
    intents: Iterable[Mapping[str, Any]],
    acknowledged: Iterable[str],
    published: Mapping[str, int],
    cells: Mapping[Cell, tuple[int, int]],
) -> Comparison:
    """`published`: event id → rows of silver; `cells`: (hour, type, platform) → (events, distinct users) of gold."""
    tried = {event["event_id"]: event for event in intents}
    lost = sorted(set(acknowledged) - published.keys())
    double = sorted(event_id for event_id, count in published.items() if count > 1)
    invented = sorted(published.keys() - tried.keys())
    there = [tried[event_id] for event_id in published.keys() & tried.keys()]
    expected = _count_cells(there, lambda moment: moment.replace(minute=0, second=0, microsecond=0))
    days = _count_cells(there, lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0))
    wrong = [
        f"{cell[0]:%Y-%m-%dT%H}Z {cell[1]} {cell[2]}: gold has {cells.get(cell)}, the journal says {expected.get(cell)}"
        for cell in sorted(expected.keys() | cells.keys())
        if expected.get(cell) != cells.get(cell)
    ]
    return Comparison(lost, double, invented, wrong, days)


def _count_cells(
    events: Iterable[Mapping[str, Any]], start_of: Callable[[datetime], datetime]
) -> dict[Cell, tuple[int, int]]:
    counts: Counter[Cell] = Counter()
    users: dict[Cell, set[str]] = defaultdict(set)
    for event in events:
        moment = datetime.fromisoformat(event["timestamp"]).astimezone(UTC)
        cell = (start_of(moment), event["event_type"], event["platform"])
        counts[cell] += 1
        users[cell].add(event["user_id"])
    return {cell: (count, len(users[cell])) for cell, count in counts.items()}


def judge(
    stack: Stack, folder: Path, app_id: str, seed: int, injected: Sequence[Injected], readings: Readings
) -> Verdict:
    """Reads journal, lake and checker. The stack must have settled."""
    intents, receipts = read_journal(folder / "intents.ndjson"), read_journal(folder / "receipts.ndjson")
    acknowledged = {line["event_id"] for line in receipts}
    rows = stack.published_rows(
        "select event_id, count(*) from lake.silver.events where app_id = $1 and family = 'engagement' group by all",
        app_id,
    )
    gold = stack.published_rows(
        "select window_start, event_type, platform, event_count, unique_users from lake.gold.agg_hour_events"
        " where app_id = $1 and family = 'engagement'",
        app_id,
    )
    cells = {(hour.astimezone(UTC), kind, platform): (count, users) for hour, kind, platform, count, users in gold}
    assert len(cells) == len(gold), "gold has a cell twice"
    found = compare(intents, acknowledged, dict(rows), cells)
    live_hours_compared, unequal_hours = compare_live_hours(stack)
    checker = find_wrong(
        stack,
        *("verify", "--receipts", str(folder / "receipts.ndjson")),
        must_be=lambda told: {
            "nothing waits to land": told["counts"]["waiting_to_land"] == 0,
            "every receipt is read": told["counts"]["receipts"] == len(receipts),
        },
    )
    return Verdict(
        seed=seed,
        code_version=stack.newest_code_version(),
        sent=len(intents),
        acknowledged=len(acknowledged),
        published=len(rows),
        lost=found.lost,
        double=found.double,
        invented=found.invented,
        wrong_cells=found.wrong_cells,
        checker=checker,
        hot_store=check_hot_store(stack),
        api_cells=compare_api(stack, found.days),
        live_windows=unequal_hours,
        live_hours_compared=live_hours_compared,
        contradictions=readings.contradictions,
        answers_read=readings.answer_count,
        publications_read=len(readings.totals),
        looked_back=readings.looked_back,
        unanswered=readings.failure_count,
        faults=[item.as_dict() for item in injected],
    )


def find_wrong(stack: Stack, *command: str, must_be: Callable[[dict[str, Any]], dict[str, bool]]) -> list[str]:
    """What a checking command says when it ends with an error, or what of its data is not as it must be; nothing when all is well."""
    try:
        told = stack.run(*command, timeout=600)
    except CommandError as error:
        return [str(error)[-3000:]]
    return [f"not so: {claim}; {json.dumps(told)[:1000]}" for claim, is_so in must_be(told).items() if not is_so]


def check_hot_store(stack: Stack) -> list[str]:
    """What the hot store and bronze say differently once the workers have read all that is there."""
    settings = stack.storage_settings()
    group = GroupOffsets(settings.kafka_bootstrap_servers, HotStoreSettings().consumer_group, settings.topics)

    def is_read() -> bool:
        committed = group.committed()
        return all(committed.get(partition, 0) >= end for partition, end in group.ends(settings.topics.live).items())

    try:
        wait_until(is_read, CATCH_UP_SECONDS, "the hot store's workers to have read everything")
    except CommandError as error:
        return [str(error)]
    return find_wrong(
        stack,
        "hot-store",
        "check",
        must_be=lambda told: {
            "no good event is a dead letter": told["excused_count"] == 0,
            "there is something to compare": told["bronze_count"] > 0,
        },
    )


def compare_live_hours(stack: Stack) -> tuple[int, list[str]]:
    """How many hours were compared with gold (0 until one has closed), and those that differ or whose ledger does not add up.

    Once live has read everything and nothing is left to compare.
    """
    storage = stack.storage_settings()
    engine = make_engine(storage, pool_size=1)
    live = GroupOffsets(storage.kafka_bootstrap_servers, "unused", storage.topics)

    now = datetime.now(UTC)

    def is_compared() -> bool:
        with engine.connect() as connection:
            read = connection.execute(sa.select(queries.c.offsets).where(queries.c.name == WINDOWS_QUERY)).scalar_one()
        ends, done = live.ends(storage.topics.live), read.get(storage.topics.live, {})
        if any(done.get(str(partition), 0) < end for partition, end in ends.items()):
            return False
        due = list_due(engine, read_cursor(engine) or 0, partial(landed_offsets, storage), WINDOWS_QUERY)
        return not due and not list_uncompared(engine, now)

    try:
        wait_until(is_compared, LIVE_CATCH_UP_SECONDS, "the live windows to have read everything and be compared", 5.0)
        with engine.connect() as connection:
            compared = connection.execute(
                sa.select(live_hours.c.hour, live_hours.c.comparison).where(live_hours.c.comparison.is_not(None))
            ).all()
        dropped = list_dropped(engine)
    except CommandError as error:
        return 0, [str(error), *(f"{hour} was not compared" for hour in list_uncompared(engine, now))]
    finally:
        engine.dispose()
    return len(compared), dropped + [
        f"{row.hour}: {json.dumps(row.comparison)[:1000]}" for row in compared if not row.comparison["ok"]
    ]


def list_uncompared(engine: Engine, now: datetime) -> list[datetime]:
    """Hours with live minutes that are over for long enough, and whose newest publication live was not held against.

    By itself, not by what the product says is due.
    """
    over = now - timedelta(hours=1, seconds=StorageSettings().late_after_seconds + CLOSING_SECONDS)
    hour = sa.func.date_trunc("hour", minutes.c.minute, "UTC")
    with engine.connect() as connection:
        live = connection.execute(sa.select(hour).where(hour <= over).distinct()).scalars().all()
        known = {row.hour: row.compared_version for row in connection.execute(sa.select(live_hours))}
        published = {row.hour: row.published_version for row in connection.execute(sa.select(bronze_hours))}

    def is_compared(item: datetime) -> bool:
        compared, newest = known.get(item), published.get(item)
        return compared is not None and newest is not None and compared >= newest

    return sorted(item for item in live if not is_compared(item))


def list_dropped(engine: Engine) -> list[str]:
    """What was told of rows that Spark dropped behind its watermark, whether it still is or not."""
    told = sa.select(alerts.c.message).where(alerts.c.kind == DROPPED_ALERT)
    with engine.connect() as connection:
        return list(connection.execute(told).scalars())


def compare_api(stack: Stack, days: Mapping[Cell, tuple[int, int]]) -> list[str]:
    """Whole days as the analytics API answers, where they differ from what the journal says."""
    until = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    asked = {
        "until": until.isoformat(),
        "hours_back": 168,
        "time_window": "1day",
        "limit": 1000,
        "family": "engagement",
    }
    answered: dict[Cell, tuple[int, int]] = {}
    for row in stack.get("/api/v1/analytics/events", **asked)["metrics"]:
        cell = (datetime.fromisoformat(row["window_start"]).astimezone(UTC), row["event_type"], row["platform"])
        answered[cell] = (row["event_count"], row["unique_users"])
    first = until - timedelta(hours=168)
    expected = {cell: numbers for cell, numbers in days.items() if cell[0] >= first}
    return [
        f"{cell[0]:%Y-%m-%d} {cell[1]} {cell[2]}: the API says {answered.get(cell)}, the journal {expected.get(cell)}"
        for cell in sorted(expected.keys() | answered.keys())
        if expected.get(cell) != answered.get(cell)
    ]


def print_verdict(verdict: Verdict) -> str:
    """One line of JSON."""
    return json.dumps(verdict.as_dict())
