"""What all seeded streams share: the plan, exact shares of copies, malformed and late lines, event ids, times, and the ground truth.

A family's generator is a `Source`: it drafts events and knows how one of its own is spoiled. Nothing here uses a clock (the anchor is
part of the plan), a hash seed, a locale or the C library's logarithms, so that the bytes are the same on every machine. Memory does
not grow with the stream, its ground truth apart.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Literal, Protocol
from uuid import UUID

from ingestion.contracts.clocks import format_utc
from ingestion.contracts.families import Family
from ingestion.generators.malformed import Fields, Spoil
from ingestion.generators.truth import GroundTruth, Story, Truth, TruthRecorder

# Late times avoid 8 to 12 minutes before the anchor: ten minutes is the limit of lateness, and sending takes its time.
_BARELY_LATE_SECONDS = (60, 480)
_LATE_SECONDS = (720, 3 * 86_400)
_BARELY_LATE_SHARE = 0.05
JITTER_SECONDS = 2.0
_REMEMBERED_LINES = 2_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Kind = Literal["event", "duplicate", "malformed"]
Encode = Callable[[Fields], bytes]


@dataclass(frozen=True)
class StreamPlan:
    """What to generate. Ratios are shares of `events`, exact to one event. `rate` > 0 spreads the times as the sender's pace does."""

    events: int
    anchor: datetime
    seed: int = 42
    rate: float = 0.0
    duplicates_ratio: float = 0.0
    malformed_ratio: float = 0.0
    late_ratio: float = 0.0

    def __post_init__(self) -> None:
        ratios = (self.duplicates_ratio, self.malformed_ratio, self.late_ratio)
        if self.events < 0 or min(ratios) < 0 or sum(ratios) > 1:
            raise ValueError(f"events must not be negative, ratios must lie in 0..1 and sum to at most 1: {ratios}")
        if self.anchor.tzinfo is None:
            raise ValueError("the anchor must carry a time zone")


@dataclass(frozen=True)
class GeneratedEvent:
    """One line to send. `event_id` is None when the line is malformed."""

    raw: bytes
    kind: Kind
    event_id: str | None
    family: Family = Family.ENGAGEMENT


@dataclass(frozen=True)
class Draft:
    """One event before it is encoded. `fields` is a fresh plain dict in the order of the line; it holds an `event_id`."""

    fields: Fields
    event_type: str
    user_id: str
    occurred_at: datetime
    is_late: bool = False
    platform: str = ""


class Source(Protocol):
    """The generator of one family."""

    @property
    def family(self) -> Family: ...
    @property
    def spoilers(self) -> Mapping[str, Spoil]:
        """Kind → how `spare` fields become a line that must be rejected."""
        ...

    def draft(self, index: int, makes_late: bool) -> Draft | None:
        """The event of the line at `index`, None when there are no more."""
        ...

    def spare(self, index: int) -> Fields:
        """Valid fields that are no part of the story, to be spoiled."""
        ...

    def note(self, draft: Draft) -> None:
        """The draft has become a line: counts it in the story."""
        ...

    def story(self) -> Story | None:
        """What only this family's ground truth holds."""
        ...


class EventStream(Protocol):
    """What can be sent. Iterate once."""

    @property
    def line_count(self) -> int: ...
    @property
    def rate(self) -> float: ...
    def __iter__(self) -> Iterator[GeneratedEvent]: ...
    def truth(self) -> Truth: ...


def canonical_json(fields: Fields) -> bytes:
    """Compact UTF-8 JSON in the order of the fields."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def to_milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down: the hour stays the same. No floating point."""
    return (moment - _EPOCH) // _MILLISECOND


def seeded(plan: StreamPlan, name: str) -> random.Random:
    """Randomness of one part of a stream, independent of that of other parts."""
    return random.Random(f"{plan.seed}:{name}")  # noqa: S311 - reproducible on purpose


def make_event_id(plan: StreamPlan, number: int | str) -> str:
    """Differs between anchors, so that a second run is new events and not copies of the first."""
    digest = blake2b(f"{plan.seed}:{format_utc(plan.anchor)}:{number}".encode(), digest_size=16).digest()
    return str(UUID(bytes=digest, version=4))


@dataclass
class Timeline:
    """When the event of a line occurred: at the sender's pace, at most two seconds before it is sent, or late."""

    plan: StreamPlan
    random: random.Random

    def occurred_at(self, index: int, makes_late: bool) -> tuple[datetime, bool]:
        """(time, whether it counts as late)."""
        is_late = False
        if makes_late:
            is_late = self.random.random() >= _BARELY_LATE_SHARE
            offset = -self.random.uniform(*(_LATE_SECONDS if is_late else _BARELY_LATE_SECONDS))
        else:
            offset = -self.random.uniform(0, JITTER_SECONDS)
        pace = index / self.plan.rate if self.plan.rate > 0 else 0.0
        return self.plan.anchor + timedelta(seconds=round(pace + offset, 3)), is_late


@dataclass
class _Reservoir:
    """A fair sample of all lines so far, for copies."""

    random: random.Random
    lines: list[tuple[bytes, str]] = field(default_factory=list)
    seen_count: int = 0

    def add(self, raw: bytes, event_id: str) -> None:
        self.seen_count += 1
        if len(self.lines) < _REMEMBERED_LINES:
            self.lines.append((raw, event_id))
            return
        place = self.random.randrange(self.seen_count)
        if place < _REMEMBERED_LINES:
            self.lines[place] = (raw, event_id)


class SeededStream:
    """A source's events as lines. Iterate once; `truth()` tells what was generated so far.

    `encode` makes the bytes of good lines; the default is JSON. `random_` is drawn for what becomes of each line.
    """

    def __init__(
        self,
        plan: StreamPlan,
        source: Source,
        random_: random.Random | None = None,
        encode: Encode = canonical_json,
        recorder: TruthRecorder | None = None,
    ) -> None:
        self._plan = plan
        self._source = source
        self._random = random_ or seeded(plan, "lines")
        self._encode = encode
        self._recorder = recorder or TruthRecorder()
        self._remembered = _Reservoir(self._random)
        self._kinds = list(source.spoilers)

    @property
    def line_count(self) -> int:
        """Lines to expect; a source that ends early gives fewer."""
        return self._plan.events

    @property
    def rate(self) -> float:
        """Lines per second, 0 for as fast as possible."""
        return self._plan.rate

    def __iter__(self) -> Iterator[GeneratedEvent]:
        plan, random_ = self._plan, self._random
        left = {
            "duplicate": round(plan.events * plan.duplicates_ratio),
            "malformed": round(plan.events * plan.malformed_ratio),
            "late": round(plan.events * plan.late_ratio),
        }
        for index in range(plan.events):
            # Selection sampling: each role comes out exactly as often as planned, without holding positions in memory.
            draw = random_.random() * (plan.events - index)
            role = "event"
            for name, count in left.items():
                if draw < count:
                    role = name
                    break
                draw -= count
            if role == "duplicate" and not self._remembered.lines:
                role = "event"  # nothing to copy yet: the copy moves to a later place
            if role in left:
                left[role] -= 1
            line = self._make(index, role)
            if line is None:
                return
            yield line

    def truth(self) -> GroundTruth:
        """The ground truth of the lines generated so far."""
        plan, source = self._plan, self._source
        return self._recorder.result(plan.seed, format_utc(plan.anchor), source.family, source.story())

    def _make(self, index: int, role: str) -> GeneratedEvent | None:
        source = self._source
        if role == "duplicate":
            raw, event_id = self._random.choice(self._remembered.lines)
            self._recorder.note_duplicate()
            return GeneratedEvent(raw, "duplicate", event_id, source.family)
        if role == "malformed":
            fields = source.spare(index)
            kind = self._random.choice(self._kinds)
            self._recorder.note_malformed(kind)
            return GeneratedEvent(source.spoilers[kind](fields, self._plan.anchor), "malformed", None, source.family)
        draft = source.draft(index, role == "late")
        if draft is None:
            return None
        raw, event_id = self._encode(draft.fields), draft.fields["event_id"]
        self._recorder.note_event(draft.event_type, draft.platform, draft.occurred_at, draft.user_id, draft.is_late)
        source.note(draft)
        self._remembered.add(raw, event_id)
        return GeneratedEvent(raw, "event", event_id, source.family)


def lines_for(draft_count: int, duplicates_ratio: float, malformed_ratio: float) -> int:
    """How many lines hold exactly `draft_count` events beside copies and malformed lines of these shares of all lines."""
    share = 1 - duplicates_ratio - malformed_ratio
    if share <= 0:
        raise ValueError("copies and malformed lines must leave room for events")
    lines = int(draft_count / share)
    while lines - round(lines * duplicates_ratio) - round(lines * malformed_ratio) < draft_count:
        lines += 1
    return lines
