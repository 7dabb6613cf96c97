"""The seeded engagement stream: same plan, same bytes, on every machine.

Mix view .40, like .30, click .15, comment .10, share .05 over 10,000 users and 1,000 contents. Duplicates are exact copies of earlier
lines, malformed lines come in every kind of `malformed.KINDS`, late events occurred between one minute and three days before the
anchor.
"""

import random

from ingestion.contracts.clocks import format_utc
from ingestion.contracts.families import Family
from ingestion.generators.malformed import KINDS, Fields
from ingestion.generators.stream import (
    Draft,
    GeneratedEvent,
    SeededStream,
    StreamPlan,
    Timeline,
    make_event_id,
)

__all__ = ["EngagementSource", "EngagementStream", "GeneratedEvent", "StreamPlan"]

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


class EngagementSource:
    """Engagements, each independent of the others."""

    family = Family.ENGAGEMENT
    spoilers = KINDS

    def __init__(self, plan: StreamPlan, random_: random.Random) -> None:
        self._plan = plan
        self._random = random_
        self._timeline = Timeline(plan, random_)

    def draft(self, index: int, makes_late: bool) -> Draft:
        """See Source."""
        random_ = self._random
        occurred_at, is_late = self._timeline.occurred_at(index, makes_late)
        event_type = random_.choices(list(TYPE_WEIGHTS), list(TYPE_WEIGHTS.values()))[0]
        platform = random_.choices(list(PLATFORM_WEIGHTS), list(PLATFORM_WEIGHTS.values()))[0]
        user = random_.randrange(USER_COUNT)
        fields: Fields = {
            "event_id": make_event_id(self._plan, index),
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
        return Draft(fields, event_type, fields["user_id"], occurred_at, is_late, platform)

    def spare(self, index: int) -> Fields:
        """See Source."""
        return self.draft(index, False).fields

    def note(self, draft: Draft) -> None:
        """See Source."""

    def story(self) -> None:
        """See Source: the common truth says all."""


class EngagementStream(SeededStream):
    """Iterate once; `truth()` tells what was generated so far."""

    def __init__(self, plan: StreamPlan) -> None:
        # One randomness for lines and events: its draws are those of the first version, and so are the bytes.
        random_ = random.Random(plan.seed)  # noqa: S311 - reproducible on purpose
        super().__init__(plan, EngagementSource(plan, random_), random_)
