"""The verdict: what the journal says against what is published, the checker of I1 to I6, the reader's contradictions, recovery times.

The oracle reads only the producer's journal: hourly counts and distinct users by event type and platform are made from it and held
against gold. An event that was tried and never acknowledged may be there or not, but once.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.e2e.stack import CommandError, Stack
from tests.faults.journal import read_journal
from tests.faults.nemesis import Injected
from tests.faults.reader import Readings

SHOWN = 10
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
    contradictions: list[str]
    answers_read: int
    publications_read: int
    faults: list[dict[str, Any]] = field(default_factory=list)
    downloads: tuple[int, int, int] = (0, 0, 0)
    """Sent straight to Kafka, and of these rows and distinct ids in silver."""
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Nothing lost, double, invented or wrong, and the run came to its end."""
        found = (self.lost, self.double, self.invented, self.wrong_cells, self.checker, self.contradictions)
        is_each_download_once = len(set(self.downloads)) == 1
        return not any(found) and is_each_download_once and not self.problem and self.acknowledged > 0

    @property
    def slowest_recovery_seconds(self) -> float:
        """Of all faults."""
        return max((fault["recovery_seconds"] for fault in self.faults), default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: counts, and the first offenders of each kind."""
        found = {
            key: value[:SHOWN] if isinstance(value, list) and key != "faults" else value
            for key, value in asdict(self).items()
        }
        counts = {f"{name}_count": len(getattr(self, name)) for name in ("lost", "double", "invented", "wrong_cells")}
        return {"ok": self.ok, "slowest_recovery_seconds": self.slowest_recovery_seconds, **counts, **found}


@dataclass(frozen=True)
class Comparison:
    """What the journal and the published tables say differently."""

    lost: list[str]
    double: list[str]
    invented: list[str]
    wrong_cells: list[str]


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
    counts: Counter[Cell] = Counter()
    users: dict[Cell, set[str]] = defaultdict(set)
    for event_id in published.keys() & tried.keys():
        event = tried[event_id]
        hour = datetime.fromisoformat(event["timestamp"]).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        cell = (hour, event["event_type"], event["platform"])
        counts[cell] += 1
        users[cell].add(event["user_id"])
    expected = {cell: (count, len(users[cell])) for cell, count in counts.items()}
    wrong = [
        f"{cell[0]:%Y-%m-%dT%H}Z {cell[1]} {cell[2]}: gold has {cells.get(cell)}, the journal says {expected.get(cell)}"
        for cell in sorted(expected.keys() | cells.keys())
        if expected.get(cell) != cells.get(cell)
    ]
    return Comparison(lost, double, invented, wrong)


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
    found = compare(intents, acknowledged, dict(rows), cells)
    try:
        stack.run("verify", "--receipts", str(folder / "receipts.ndjson"), timeout=600)
        checker: list[str] = []
    except CommandError as error:
        checker = [str(error)[-3000:]]
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
        contradictions=readings.contradictions,
        answers_read=readings.answer_count,
        publications_read=len(readings.totals),
        faults=[item.as_dict() for item in injected],
    )


def print_verdict(verdict: Verdict) -> str:
    """One line of JSON."""
    return json.dumps(verdict.as_dict())
