"""The one shape of a figure, and how it is printed."""

import json
from typing import Literal


def report(
    name: str,
    ours: float,
    other: float,
    target: float,
    better: Literal["higher", "lower"],
    unit: str,
    **details: object,
) -> bool:
    """Prints one JSON line and tells whether ours / other is on the right side of the target."""
    ratio = ours / other if other else float("inf")
    ok = ratio >= target if better == "higher" else ratio <= target
    line = {
        "name": name,
        "ours": round(ours, 3),
        "other": round(other, 3),
        "ratio": round(ratio, 3),
        "target": target,
        "ok": ok,
    }
    print(json.dumps({**line, "unit": unit, **details}), flush=True)
    return ok
