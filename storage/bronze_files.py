"""How many live files each date of bronze has, and which closed dates are worth rewriting. From Delta's log alone; writes nothing.

The rewrites themselves are streaming.date_rewrite and streaming.open_date_rewrite.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from storage.object_store import delta_options
from storage.settings import StorageSettings

# A date with up to twice the ideal number of files is left alone: rewriting it again for each late event would cost more than it gives.
WORTH_RATIO = 2
# Landing's own compaction cares for a date up to an hour after its end, and must be through with it.
CLOSED_AFTER = timedelta(hours=2)


@dataclass(frozen=True)
class BronzeFile:
    """A live file. `path` is within the table, as its log names it."""

    path: str
    event_date: date
    size_bytes: int


@dataclass(frozen=True)
class DateFiles:
    """The live files of one date."""

    event_date: date
    file_count: int
    size_bytes: int

    def ideal_count(self, target_bytes: int) -> int:
        """As many files as the date would fill; at least one."""
        return max(1, -(-self.size_bytes // target_bytes))

    def is_worth_rewriting(self, target_bytes: int) -> bool:
        """Whether it has more than twice as many files as it would fill."""
        return self.file_count > WORTH_RATIO * self.ideal_count(target_bytes)


def list_date_files(settings: StorageSettings) -> list[DateFiles]:
    """Every date of the newest version, oldest first. Empty without a table."""
    found: dict[date, list[int]] = {}
    for file in list_files(settings):
        found.setdefault(file.event_date, []).append(file.size_bytes)
    return [DateFiles(day, len(sizes), sum(sizes)) for day, sizes in sorted(found.items())]


def list_files(settings: StorageSettings, version: int | None = None) -> list[BronzeFile]:
    """Every live file at a version, by default the newest. Empty without a table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(settings.bronze_uri, version=version, storage_options=delta_options(settings))
    except TableNotFoundError:
        return []
    actions = table.get_add_actions(flatten=True)
    names = actions.schema.names
    columns = (actions.column(names.index(name)) for name in ("path", "partition.event_date", "size_bytes"))
    return [BronzeFile(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]


def first_open_date(now: datetime) -> date:
    """Dates before it are closed: only late events and imports come to them."""
    return (now.astimezone(UTC) - CLOSED_AFTER).date()


def choose_dates(files: Iterable[DateFiles], *, now: datetime, target_bytes: int, limit: int) -> list[DateFiles]:
    """The closed dates worth rewriting: those with most files to spare first, the earlier of equals, `limit` at most."""
    closed = first_open_date(now)
    worth = [item for item in files if item.event_date < closed and item.is_worth_rewriting(target_bytes)]
    worth.sort(key=lambda item: (item.ideal_count(target_bytes) - item.file_count, item.event_date))
    return worth[:limit]
