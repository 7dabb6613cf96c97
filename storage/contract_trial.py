"""A proposed contract tried on what has landed: how many events of the last days would fail, per app and current version, and why.

Reads bronze at one Delta version, day by day and in small batches, so that memory does not grow with the days. Counts and coordinates are
kept, never values. Dead letters and records that landed with a reason are left out: no version took them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from storage.bronze import latest_version, row_counts_by_date
from storage.candidate import Candidate, Fault
from storage.duckdb_session import open_session
from storage.settings import StorageSettings
from storage.verification.bodies import ContractJudge

# Rows may be as large as a Kafka record: 2 MiB.
FETCH_ROWS = 2048
EXAMPLES = 3
_EVENTS = """
select app_id, contract, event_type, kafka_topic, kafka_partition, kafka_offset, value
from delta_scan(?, version => ?)
where event_date = ? and dlq_stage is null and rejection_reason is null and starts_with(contract, ?)
"""

Progress = Callable[[int, int], None]
"""Called with (rows of bronze passed, events judged)."""


class NoBronzeError(Exception):
    """There is no table yet."""


@dataclass
class Finding:
    """One reason, and the coordinates of the first events that fail for it: topic/partition/offset."""

    fault: Fault
    events: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Group:
    """The events of one app under one current version. An event that fails for two reasons is in two findings and counts once here.

    `broken_already` are events that break their current version too: silver has them in quarantine, whatever is decided.
    """

    app_id: str
    contract: str
    events: int = 0
    failing: int = 0
    broken_already: int = 0
    findings: dict[Fault, Finding] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For --json; the most frequent reason first."""
        ordered = sorted(self.findings.values(), key=lambda item: (-item.events, item.fault.path, item.fault.rule))
        found = [{**asdict(item.fault), "events": item.events, "examples": item.examples} for item in ordered]
        return {
            "app_id": self.app_id,
            "contract": self.contract,
            "events": self.events,
            "failing": self.failing,
            "broken_already": self.broken_already,
            "findings": found,
        }


@dataclass
class Trial:
    """What was tried and what came of it."""

    candidate: str
    bronze_version: int
    days: list[date]
    groups: dict[tuple[str, str], Group] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """Events judged."""
        return sum(group.events for group in self.groups.values())

    @property
    def failing(self) -> int:
        """Events that would no longer be taken."""
        return sum(group.failing for group in self.groups.values())

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "candidate": self.candidate,
            "bronze_version": self.bronze_version,
            "days": [day.isoformat() for day in self.days],
            "events": self.events,
            "failing": self.failing,
            "groups": [self.groups[key].as_dict() for key in sorted(self.groups)],
        }


def plan_days(settings: StorageSettings, days: int) -> tuple[int, dict[date, int]]:
    """(Delta version, rows by date) of the newest `days` dates that hold rows, oldest first. Raises: NoBronzeError."""
    version = latest_version(settings)
    if version is None:
        raise NoBronzeError(f"there is no bronze at {settings.bronze_uri}")
    counts = {day: rows for day, rows in row_counts_by_date(settings, version).items() if rows}
    return version, {day: counts[day] for day in sorted(counts)[-days:]}


def run_trial(
    settings: StorageSettings, candidate: Candidate, version: int, rows_by_date: dict[date, int], progress: Progress
) -> Trial:
    """The events of these dates against the candidate."""
    trial = Trial(candidate.name, version, list(rows_by_date))
    is_valid_already = ContractJudge()
    passed = 0
    with open_session(settings) as session:
        for day, rows in rows_by_date.items():
            # Every day is a statement of its own: its partition is pruned, and DuckDB holds no more than a few batches of it.
            result = session.execute(_EVENTS, [settings.bronze_uri, version, day, f"{candidate.family.value}/"])
            while batch := result.fetchmany(FETCH_ROWS):
                for app_id, contract, event_type, topic, partition, offset, value in batch:
                    group = trial.groups.setdefault((app_id, contract), Group(app_id, contract))
                    group.events += 1
                    faults = candidate.faults(value or b"")
                    if not faults:
                        continue
                    if not is_valid_already(contract, event_type, value or b""):
                        group.broken_already += 1
                        continue
                    group.failing += 1
                    _note(group, faults, f"{topic}/{partition}/{offset}")
                progress(passed, trial.events)
            passed += rows
            progress(passed, trial.events)
    return trial


def _note(group: Group, faults: list[Fault], coordinate: str) -> None:
    for fault in faults:
        finding = group.findings.setdefault(fault, Finding(fault))
        finding.events += 1
        if len(finding.examples) < EXAMPLES:
            finding.examples.append(coordinate)
