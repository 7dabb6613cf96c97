"""Hands the records of dead letters to the hot store again, once what kept them out is repaired.

They go the way of a worker's records, each by itself: what is written is durable at once and written once, so a redrive that was killed is
run again, and one that is run twice changes nothing. No letter is sent for what still fails: its letter is there.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from ingestion.contracts.clocks import format_utc
from ingestion.contracts.quarantine import Coordinates
from storage.hot_store.events import HotEvent
from storage.hot_store.letters import Letter
from storage.hot_store.store import HotStore
from streaming.hot_store.avro_bodies import AvroBodies
from streaming.hot_store.batches import Batch, EventWriter, Handler
from streaming.hot_store.dead_letters import DeadLetter
from streaming.hot_store.letter_records import Found, NoRecord
from streaming.hot_store.records import RecordParser

Kind = Literal["redriven", "already", "expired", "still_bad"]
KINDS: tuple[Kind, ...] = ("redriven", "already", "expired", "still_bad")


@dataclass(frozen=True)
class Selection:
    """Which letters. Empty means every one; times are of the letter, `to_at` is not part of it."""

    reasons: tuple[str, ...] = ()
    app_id: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None

    def fits(self, letter: Letter) -> bool:
        """Whether this letter is chosen."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.app_id is None or letter.app_id == self.app_id)
            and (self.from_at is None or letter.at >= self.from_at)
            and (self.to_at is None or letter.at < self.to_at)
        )


@dataclass(frozen=True)
class Redriven:
    """What became of a letter's record: written, there already, of a day that is not kept, or still bad for a reason."""

    letter: Letter
    kind: Kind
    event_id: str | None = None
    remaining_reason: str | None = None
    message: str = ""

    def as_dict(self, topic: str) -> dict[str, str | None]:
        """For --json."""
        return {
            "coordinates": str(Coordinates(topic, *self.letter.place)),
            "app_id": self.letter.app_id,
            "event_id": self.event_id,
            "reason": self.letter.reason,
            "at": format_utc(self.letter.at),
            "outcome": self.kind,
            "remaining_reason": self.remaining_reason,
            "message": self.message,
        }


class DryWriter:
    """Writes nothing into a hot store; says of events that are not there that they would be. See EventWriter."""

    def __init__(self, store: HotStore) -> None:
        self._store = store
        self._given: set[tuple[str, str]] = set()

    def write(self, events: Sequence[HotEvent]) -> int:
        """How many would be new. What a store refuses only a write tells."""
        new = {event.key for event in events if event.key not in self._given and not self._store.holds(*event.key)}
        self._given |= new
        return len(new)


class Redriver:
    """Handles records of letters. `first_day`: the oldest day that is kept."""

    def __init__(self, parser: RecordParser, avro: AvroBodies, writer: EventWriter, first_day: date) -> None:
        self._refusals = _Refusals()
        self._handler = Handler(parser, avro, writer, self._refusals, lambda _: first_day)

    def run(self, found: Iterable[Found]) -> Iterator[Redriven]:
        """What became of each, as it is done. Raises: StoreUnavailableError; what was yielded by then is durable."""
        for letter, record in found:
            if isinstance(record, NoRecord):
                kind: Kind = "expired" if record.reason is None else "still_bad"
                yield Redriven(letter, kind, remaining_reason=record.reason, message=record.message)
                continue
            outcome = self._handler.handle(Batch([record]))
            event_id = outcome.visible[0].event_id if outcome.visible else None
            if self._refusals.letters:
                refusal = self._refusals.letters.pop()
                yield Redriven(letter, "still_bad", None, refusal.reason.value, refusal.message)
            elif outcome.expired_count:
                yield Redriven(letter, "expired")
            else:
                yield Redriven(letter, "redriven" if outcome.written_count else "already", event_id)


class _Refusals:
    """See DeadLetters. Keeps the letters of the record under way."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def send(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += letters

    def close(self) -> None:
        pass


def report(done: Sequence[Redriven], topic: str) -> dict[str, Any]:
    """Counts that add up (selected = redriven + already + expired + still bad), in all and by the letters' reasons, and each letter."""
    by_reason: dict[str, Counter[Kind]] = {}
    for item in done:
        by_reason.setdefault(item.letter.reason, Counter())[item.kind] += 1
    counts = Counter(item.kind for item in done)
    remaining = Counter(item.remaining_reason for item in done if item.remaining_reason is not None)
    return {
        "selected": len(done),
        **{kind: counts[kind] for kind in KINDS},
        "by_reason": {reason: {kind: of[kind] for kind in KINDS} for reason, of in sorted(by_reason.items())},
        "remaining_reasons": dict(sorted(remaining.items())),
        "letters": [item.as_dict(topic) for item in done],
    }
