"""The seeded generic stream (S2): event types of several businesses with payloads of every JSON kind, nested and in many scripts."""

from typing import Any

from ingestion.contracts.clocks import format_utc
from ingestion.contracts.families import Family
from ingestion.generators.malformed import GENERIC_KINDS, Fields
from ingestion.generators.stream import Draft, SeededStream, StreamPlan, Timeline, make_event_id, seeded

TYPE_WEIGHTS = {"order_placed": 40, "payment_failed": 10, "sensor_read": 35, "note_written": 15}
USER_COUNT = 5_000
_WORDS = ("Grüße", "naïve", "東京", "Привет", "مرحبا", "🌊 tide", 'quoted "words"', "tab\there", "back\\slash", "")
_CURRENCIES = ("EUR", "USD", "JPY")


class GenericSource:
    """Generic events, each independent of the others."""

    family = Family.GENERIC
    spoilers = GENERIC_KINDS

    def __init__(self, plan: StreamPlan) -> None:
        self._plan = plan
        self._random = seeded(plan, "generic")
        self._timeline = Timeline(plan, self._random)

    def draft(self, index: int, makes_late: bool) -> Draft:
        """See Source."""
        random_ = self._random
        occurred_at, is_late = self._timeline.occurred_at(index, makes_late)
        event_type = random_.choices(list(TYPE_WEIGHTS), list(TYPE_WEIGHTS.values()))[0]
        fields: Fields = {
            "event_id": make_event_id(self._plan, f"generic:{index}"),
            "event_type": event_type,
            "user_id": f"customer_{random_.randrange(USER_COUNT):05d}",
            "timestamp": format_utc(occurred_at),
            "payload": self._payload(event_type),
        }
        return Draft(fields, event_type, fields["user_id"], occurred_at, is_late)

    def spare(self, index: int) -> Fields:
        """See Source."""
        return self.draft(index, False).fields

    def note(self, draft: Draft) -> None:
        """See Source."""

    def story(self) -> None:
        """See Source: the common truth says all."""

    def _payload(self, event_type: str) -> dict[str, Any]:
        random_ = self._random
        match event_type:
            case "order_placed":
                lines: list[dict[str, Any]] = [
                    {"sku": f"sku-{random_.randrange(500):03d}", "count": random_.randint(1, 5),
                     "price": round(random_.uniform(0.5, 250), 2)}
                    for _ in range(random_.randint(1, 4))
                ]  # fmt: skip
                total = round(sum(line["count"] * line["price"] for line in lines), 2)
                return {
                    "lines": lines,
                    "total": total,
                    "currency": random_.choice(_CURRENCIES),
                    "is_gift": bool(random_.getrandbits(1)),
                }
            case "payment_failed":
                return {"code": random_.choice((51, 54, 91)), "attempt": random_.randint(1, 3), "retry_at": None}
            case "sensor_read":
                reading = {
                    "celsius": round(random_.uniform(-40, 60), 3),
                    "ratio": random_.random(),
                    "samples": random_.randrange(2**40),
                }
                return {"sensor": {"id": f"s{random_.randrange(100)}", "reading": reading, "tags": []}, "scale": 1e-7}
            case _:
                words = [random_.choice(_WORDS) for _ in range(random_.randint(0, 5))]
                return {
                    "text": " ".join(words),
                    "words": words,
                    "länge": len(words),
                    "nested": {"a": {"b": {"c": [{}]}}},
                }


class GenericStream(SeededStream):
    """Iterate once; `truth()` tells what was generated so far."""

    def __init__(self, plan: StreamPlan) -> None:
        super().__init__(plan, GenericSource(plan))
