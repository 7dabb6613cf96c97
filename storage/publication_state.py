"""When the last publication was, and which hours wait or are blocked, and by what: for `tidemark status` and `/health`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from storage.control.hours import DirtyHour, list_dirty
from storage.publications import Publication, latest


@dataclass(frozen=True)
class PublicationState:
    """The state of publication at one moment."""

    publication: Publication | None
    dirty: tuple[DirtyHour, ...]
    read_at: datetime

    @property
    def blocked(self) -> tuple[DirtyHour, ...]:
        """Hours whose last build was stopped."""
        return tuple(hour for hour in self.dirty if hour.blocked_by)

    @property
    def summary(self) -> str:
        """One line for people: "published 14 min ago; hour 2026-01-05 10:00 blocked by check event_ids_are_unique"."""
        if self.publication is None:
            text = "nothing published yet"
        else:
            text = f"published {_age(self.read_at - self.publication.published_at)} ago"
        if self.blocked:
            first = self.blocked[0]
            others = f" (and {len(self.blocked) - 1} more hours)" if len(self.blocked) > 1 else ""
            text += f"; hour {first.hour:%Y-%m-%d %H:00} blocked by {first.blocked_by}{others}"
        elif self.dirty:
            text += f"; {len(self.dirty)} hours waiting"
        return text


def read(engine: Engine) -> PublicationState:
    """The state now."""
    return PublicationState(latest(engine), tuple(list_dirty(engine)), datetime.now(UTC))


def _age(delta: timedelta) -> str:
    seconds = int(max(0.0, delta.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
