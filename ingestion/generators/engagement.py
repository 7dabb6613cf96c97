"""The seeded engagement stream: same plan, same bytes, on every machine.

Mix view .40, like .30, click .15, comment .10, share .05 over 10,000 users and 1,000 contents. Duplicates are exact copies of earlier
lines, malformed lines come in every kind of `malformed.KINDS`, late events occurred between one minute and three days before the
anchor. Uses no clock: the anchor is part of the plan. Memory does not grow with the stream, its ground truth apart.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from ingestion.contracts.clocks import format_utc
from ingestion.generators.malformed import KINDS
from ingestion.generators.truth import GroundTruth, TruthRecorder

TYPE_WEIGHTS = {"view": 40, "like": 30, "click": 15, "comment": 10, "share": 5}
PLATFORM_WEIGHTS = {"web": 35, "ios": 30, "android": 25, "mobile_web": 10}
USER_COUNT = 10_000
CONTENT_COUNT = 1_000
_DEVICES = {
    "web": ("desktop", "laptop"),
    "ios": ("iPhone 15", "iPad Air"),
    "android": ("Pixel 9", "Galaxy S25"),
    "mobile_web": ("phone", "tablet"),
}
_LOCATIONS = ("Berlin, DE", "São Paulo, BR", "New York, US", "Tōkyō, JP", "Lagos, NG", "Sydney, AU")
_SOURCES = ("feed", "search", "profile", "notification", "share: link")

# Late times avoid 8 to 12 minutes before the anchor: ten minutes is the limit of lateness, and sending takes its time.
_BARELY_LATE_SECONDS = (60, 480)
_LATE_SECONDS = (720, 3 * 86_400)
_BARELY_LATE_SHARE = 0.05
_JITTER_SECONDS = 2.0
_REMEMBERED_LINES = 2_000

Kind = Literal["event", "duplicate", "malformed"]


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


class EngagementStream:
    """Iterate once; `truth()` tells what was generated so far."""

    def __init__(self, plan: StreamPlan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)  # noqa: S311 - reproducible on purpose
        self._anchor_text = format_utc(plan.anchor)
        self._recorder = TruthRecorder()
        self._remembered: list[tuple[bytes, str]] = []
        self._seen_count = 0
        self._kinds = list(KINDS)

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
            if role == "duplicate" and not self._remembered:
                role = "event"  # nothing to copy yet: the copy moves to a later place
            if role in left:
                left[role] -= 1
            yield self._make(index, role)

    def truth(self) -> GroundTruth:
        """The ground truth of the lines generated so far."""
        return self._recorder.result(self._plan.seed, self._anchor_text)

    def _make(self, index: int, role: str) -> GeneratedEvent:
        if role == "duplicate":
            raw, event_id = self._random.choice(self._remembered)
            self._recorder.note_duplicate()
            return GeneratedEvent(raw, "duplicate", event_id)
        occurred_at, is_late = self._occurred_at(index, role == "late")
        fields = self._fields(index, occurred_at)
        if role == "malformed":
            kind = self._random.choice(self._kinds)
            self._recorder.note_malformed(kind)
            return GeneratedEvent(KINDS[kind](fields, self._plan.anchor), "malformed", None)
        raw = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        self._recorder.note_event(fields["event_type"], fields["platform"], occurred_at, fields["user_id"], is_late)
        self._remember(raw, fields["event_id"])
        return GeneratedEvent(raw, "event", fields["event_id"])

    def _occurred_at(self, index: int, makes_late: bool) -> tuple[datetime, bool]:
        """(time, whether it counts as late)."""
        random_, is_late = self._random, False
        if makes_late:
            is_late = random_.random() >= _BARELY_LATE_SHARE
            offset = -random_.uniform(*(_LATE_SECONDS if is_late else _BARELY_LATE_SECONDS))
        else:
            offset = -random_.uniform(0, _JITTER_SECONDS)
        pace = index / self._plan.rate if self._plan.rate > 0 else 0.0
        return self._plan.anchor + timedelta(seconds=round(pace + offset, 3)), is_late

    def _fields(self, index: int, occurred_at: datetime) -> dict[str, Any]:
        random_ = self._random
        event_type = random_.choices(list(TYPE_WEIGHTS), list(TYPE_WEIGHTS.values()))[0]
        platform = random_.choices(list(PLATFORM_WEIGHTS), list(PLATFORM_WEIGHTS.values()))[0]
        user = random_.randrange(USER_COUNT)
        fields: dict[str, Any] = {
            "event_id": self._event_id(index),
            "event_type": event_type,
            "user_id": f"user_{user:05d}",
            "content_id": f"content_{random_.randrange(CONTENT_COUNT):04d}",
            "platform": platform,
            "timestamp": format_utc(occurred_at),
            "session_id": f"session_{user:05d}_{random_.randrange(50):02d}",
            "device_type": random_.choice(_DEVICES[platform]),
            "location": random_.choice(_LOCATIONS),
        }
        if random_.random() < 0.5:
            fields["metadata"] = {"source": random_.choice(_SOURCES), "position": str(random_.randrange(100))}
        return fields

    def _event_id(self, index: int) -> str:
        """Differs between anchors, so that a second run is new events and not copies of the first."""
        digest = blake2b(f"{self._plan.seed}:{self._anchor_text}:{index}".encode(), digest_size=16).digest()
        return str(UUID(bytes=digest, version=4))

    def _remember(self, raw: bytes, event_id: str) -> None:
        """Keeps a fair sample of all lines so far (reservoir sampling) for duplicates."""
        self._seen_count += 1
        if len(self._remembered) < _REMEMBERED_LINES:
            self._remembered.append((raw, event_id))
            return
        place = self._random.randrange(self._seen_count)
        if place < _REMEMBERED_LINES:
            self._remembered[place] = (raw, event_id)
