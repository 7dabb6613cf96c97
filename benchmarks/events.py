"""The events that the ingestion benchmarks send: engagements of 400 bytes with Zipf-distributed users, the same for the same seed."""

import json
import random
from datetime import datetime, timedelta
from itertools import accumulate
from uuid import UUID

from ingestion.contracts.clocks import format_utc

EVENT_BYTES = 400
USER_COUNT = 10_000
ZIPF_EXPONENT = 1.1
_TYPES = {"view": 40, "like": 30, "click": 15, "comment": 10, "share": 5}
_PLATFORMS = ("web", "ios", "android", "mobile_web")
_LOCATIONS = ("Berlin, DE", "São Paulo, BR", "New York, US", "Lagos, NG", "Sydney, AU")
# One in ten has a colon inside a string, as real links and titles do.
_SOURCES = ("feed", "search", "profile", "notification", "email", "push", "share", "home", "related", "link: shared")


def engagement_lines(count: int, anchor: datetime, seed: int = 42) -> list[bytes]:
    """`count` lines of exactly EVENT_BYTES bytes, within the ten seconds before the anchor."""
    chance = random.Random(seed)
    users = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, USER_COUNT + 1)))
    types = list(accumulate(_TYPES.values()))
    names = list(_TYPES)
    lines = []
    for _ in range(count):
        user = chance.choices(range(USER_COUNT), cum_weights=users)[0]
        event = {
            "event_id": str(UUID(int=chance.getrandbits(128), version=4)),
            "event_type": chance.choices(names, cum_weights=types)[0],
            "user_id": f"user_{user:05}",
            "content_id": f"content_{chance.randrange(1000):04}",
            "platform": chance.choice(_PLATFORMS),
            "timestamp": format_utc(anchor - timedelta(seconds=chance.random() * 10)),
            "session_id": f"session_{user:05}_{chance.randrange(100):02}",
            "device_type": "desktop",
            "location": chance.choice(_LOCATIONS),
            "metadata": {"source": chance.choice(_SOURCES), "position": str(chance.randrange(50)), "note": ""},
        }
        size = len(_encode(event))
        event["metadata"]["note"] = "n" * (EVENT_BYTES - size)  # type: ignore[index]  # the dict made above
        lines.append(_encode(event))
    return lines


def _encode(event: dict[str, object]) -> bytes:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
