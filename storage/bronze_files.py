"""How many live files each date of bronze has, and which closed dates are worth rewriting. From Delta's log alone; writes nothing.

The rewrite itself is streaming.date_rewrite.
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
    return [DateFiles(day, len(sizes), sum(sizes)) for day, sizes in list_file_sizes(settings).items()]


def list_file_sizes(settings: StorageSettings) -> dict[date, list[int]]:
    """Bytes of every live file of the newest version, by date, oldest first. Empty without a table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(settings.bronze_uri, storage_options=delta_options(settings))
    except TableNotFoundError:
        return {}
    actions = table.get_add_actions(flatten=True)
    names = actions.schema.names
    dates, sizes = (actions.column(names.index(name)).to_pylist() for name in ("partition.event_date", "size_bytes"))
    found: dict[date, list[int]] = {}
    for day, size in zip(dates, sizes, strict=True):
        found.setdefault(day, []).append(size)
    return dict(sorted(found.items()))


def first_open_date(now: datetime) -> date:
    """Dates before it are closed: only late events and imports come to them."""
    return (now.astimezone(UTC) - CLOSED_AFTER).date()


def choose_dates(files: Iterable[DateFiles], *, now: datetime, target_bytes: int, limit: int) -> list[DateFiles]:
    """The closed dates worth rewriting: those with most files to spare first, the earlier of equals, `limit` at most."""
    closed = first_open_date(now)
    worth = [item for item in files if item.event_date < closed and item.is_worth_rewriting(target_bytes)]
    worth.sort(key=lambda item: (item.ideal_count(target_bytes) - item.file_count, item.event_date))
    return worth[:limit]
