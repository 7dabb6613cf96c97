"""Pure planning of windows: which hours go into which run and which build. Values in, values out; no I/O, no Dagster."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

HOUR = timedelta(hours=1)
HOUR_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
MAX_GAP = timedelta(days=31)
ATTEMPTS_TOGETHER = 2
# A build is told its hours in one variable of its environment, which holds 5,400 of them.
MAX_HOURS = 4_000


@dataclass(frozen=True)
class Window:
    """Hours that are built together, ascending and without repeats. `start` and `end` bound them, `end` exclusive."""

    hours: tuple[datetime, ...]

    @property
    def start(self) -> datetime:
        """The first hour."""
        return self.hours[0]

    @property
    def end(self) -> datetime:
        """One hour past the last."""
        return self.hours[-1] + HOUR

    @property
    def days(self) -> tuple[date, ...]:
        """UTC days of the hours, ascending."""
        return tuple(sorted({hour.date() for hour in self.hours}))


def hours_of_days(first: date, last: date) -> tuple[datetime, ...]:
    """Every UTC hour of the days first..last, both included."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    count = ((last - first).days + 1) * 24
    return tuple(start + HOUR * index for index in range(count))


def parse_hours(texts: Iterable[str]) -> tuple[datetime, ...]:
    """Hours from ISO texts, as UTC, ascending. Raises ValueError for one that is not a whole UTC hour."""
    hours = set()
    for text in texts:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if moment.minute or moment.second or moment.microsecond:
            raise ValueError(f"{text} is not a whole hour; give hours like 2026-01-05T10:00:00Z")
        hours.add(moment)
    return tuple(sorted(hours))


def apart(attempts: Mapping[datetime, int]) -> tuple[list[datetime], list[Window]]:
    """Hours to build together, and windows for those that failed again and again, by how often each did.

    A window fails whole: built together for ever, one hour that breaks a check would keep all others back. The first retry is not apart,
    for what breaks most builds is none of their hours.
    """
    together = sorted(hour for hour, count in attempts.items() if count < ATTEMPTS_TOGETHER)
    return together, [Window((hour,)) for hour in sorted(attempts.keys() - set(together))]


def gather(pieces: Iterable[tuple[Sequence[datetime], int]], max_rows: int) -> list[Window]:
    """Windows of neighbouring pieces, each some hours and their rows: at most `max_rows` and MAX_HOURS, or one piece that has more."""
    windows: list[Window] = []
    current: list[datetime] = []
    held = 0
    for hours, rows in pieces:
        if current and (held + rows > max_rows or len(current) + len(hours) > MAX_HOURS):
            windows.append(Window(tuple(current)))
            current, held = [], 0
        current += hours
        held += rows
    if current:
        windows.append(Window(tuple(current)))
    return windows


def cut_by_rows(hours: Sequence[datetime], rows: Mapping[datetime, int], max_rows: int) -> list[Window]:
    """Windows of at most `max_rows` and MAX_HOURS, except for one hour that has more. A day is split only where it has more itself."""
    return gather(_pieces(hours, rows, max_rows), max_rows)


def _pieces(
    hours: Sequence[datetime], rows: Mapping[datetime, int], max_rows: int
) -> Iterator[tuple[list[datetime], int]]:
    for day_hours in _by_day(hours).values():
        day_rows = sum(rows.get(hour, 0) for hour in day_hours)
        if day_rows <= max_rows:
            yield day_hours, day_rows
        else:
            yield from (([hour], rows.get(hour, 0)) for hour in day_hours)


def near_day_ranges(hours: Sequence[datetime], max_gap: timedelta = MAX_GAP) -> list[Window]:
    """The hours in groups, a new one where more than `max_gap` lies between two days: each group is one run over a partition range.

    A run costs seconds however little it builds, so scattered hours share one. Only the hours are built; the range merely names them.
    """
    windows: list[Window] = []
    current: list[datetime] = []
    previous: date | None = None
    for day, day_hours in _by_day(hours).items():
        if previous is not None and day - previous > max_gap:
            windows.append(Window(tuple(current)))
            current = []
        current += day_hours
        previous = day
    if current:
        windows.append(Window(tuple(current)))
    return windows


def _by_day(hours: Sequence[datetime]) -> dict[date, list[datetime]]:
    days: dict[date, list[datetime]] = {}
    for hour in sorted(set(hours)):
        days.setdefault(hour.date(), []).append(hour)
    return days


def is_current(hour: datetime, now: datetime) -> bool:
    """True for the running hour and the one before: the arrivals lane. Everything older is the late lane's."""
    return hour >= now.replace(minute=0, second=0, microsecond=0) - HOUR
