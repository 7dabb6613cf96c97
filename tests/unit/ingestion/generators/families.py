"""A small stream of every family, and `python -m tests.unit.ingestion.generators.families`: the digests of all of them."""

import hashlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from ingestion.generators import EngagementStream, StreamPlan
from ingestion.generators.downloads import DownloadStream
from ingestion.generators.generic import GenericStream
from ingestion.generators.incidents import Incident
from ingestion.generators.product import ProductPlan, ProductStream
from ingestion.generators.social import SocialStream
from ingestion.generators.social_graph import GraphPlan
from ingestion.generators.stream import SeededStream

ANCHOR = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SHARES = {"duplicates_ratio": 0.04, "malformed_ratio": 0.05}
INCIDENTS = (Incident("region_outage", "eu-west", 10, 20), Incident("slow_cdn", "*", 5, 15))

MAKERS: dict[str, Callable[[StreamPlan], SeededStream]] = {
    "engagement": EngagementStream,
    "product": lambda plan: ProductStream(plan, ProductPlan(two_variants_ratio=0.05)),
    "generic": GenericStream,
    "social": lambda plan: SocialStream(plan, GraphPlan(users=40, posts=400, hashtags=50, repeats_ratio=0.1)),
    "download": lambda plan: DownloadStream(plan, INCIDENTS),
}

# Of `stream_of(family)`. They change only on purpose: the same seed and anchor are the same bytes in every version.
DIGESTS = {
    "engagement": "5aa4dffe2ec0987757993bb3cd07e7f6eccf20766a51b2f3663c8ccbf8183d43",
    "product": "1cf55bb7b15ae67df951c547ae067982d764d84f0c3021e3ea29dbc8bb6f8c52",
    "generic": "8d96b360cef16ad6ab7550ab7b3a065552c75e746b9e46ab29678b125eedf14e",
    "social": "0e7027dd2933f183df3279f3130f6a5a7067cdb2a5260354964884ee1973ef6f",
    "download": "49c757bea08ae100a9ff4794908379d5c3c6196ac0907f9e64f709e3284691d0",
}


def stream_of(family: str, **overrides: object) -> SeededStream:
    """1,500 lines with copies, malformed and (where the family has them) late ones."""
    late = {} if family == "social" else {"late_ratio": 0.06}
    values = {"events": 1500, "anchor": ANCHOR, "seed": 11, **SHARES, **late, **overrides}
    return MAKERS[family](StreamPlan(**values))  # type: ignore[arg-type]  # values are checked by the plan


def digest(stream: SeededStream) -> str:
    """SHA-256 over all lines."""
    return hashlib.sha256(b"\n".join(event.raw for event in stream)).hexdigest()


if __name__ == "__main__":
    sys.stdout.write("\n".join(f"{family} {digest(stream_of(family))}" for family in MAKERS))
