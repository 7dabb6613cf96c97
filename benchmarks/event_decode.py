"""Validated decode of one event against `orjson.loads` of the same bytes, in one process, in turns of a thousand events.

Two figures. The decode with its contract (types, words, lengths: msgspec by the shape of an engagement), which is what the target
asks of, and beside it the whole verdict: unambiguous JSON (no key twice, bounded numbers and depth), the time within its limits,
the user id trimmed. The verdict costs twice an `orjson.loads`, and pure Python cannot do much about it: of 2.2 µs the decode is 0.9,
counting colons 0.3, looking at the time 0.4, the rest calls and attributes. orjson builds a dict of eleven texts for its 1.2 µs.

The fastest of many short turns is taken on both sides: what disturbs a turn only ever makes it slower.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime

import orjson

from benchmarks.events import EVENT_BYTES, engagement_lines
from benchmarks.figures import report
from ingestion.contracts.plain import decode_complete
from ingestion.contracts.validation import Validator, ValidEvent

TARGET_RATIO = 1.0
EVENTS = 1000
TURNS = 400


def fastest(sides: dict[str, Callable[[bytes], object]], lines: list[bytes]) -> dict[str, float]:
    """Microseconds an event of each side, at its best."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(TURNS):
        for name, side in sides.items():
            started = time.perf_counter()
            for line in lines:
                side(line)
            best[name] = min(best[name], time.perf_counter() - started)
    return {name: seconds / len(lines) * 1e6 for name, seconds in best.items()}


def main() -> int:
    """Prints both figures; 1 when the decode is slower than orjson."""
    now = datetime.now(UTC)
    lines = engagement_lines(EVENTS, now)
    judge = Validator(now, date(2015, 1, 1)).judge
    if not all(isinstance(judge(line), ValidEvent) for line in lines):
        raise RuntimeError("an event of the benchmark is not valid")
    took = fastest({"orjson": orjson.loads, "decode": decode_complete, "verdict": judge}, lines)
    details = {"orjson_us": round(took["orjson"], 3), "decode_us": round(took["decode"], 3), "event_bytes": EVENT_BYTES}
    ok = report(
        "event_decode_per_second",
        1e6 / took["decode"],
        1e6 / took["orjson"],
        TARGET_RATIO,
        "higher",
        "events/s",
        **details,
    )
    report(
        "event_verdict_per_second", 1e6 / took["verdict"], 1e6 / took["orjson"], 0.0, "higher", "events/s, no target"
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
