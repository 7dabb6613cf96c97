"""From what somebody asks for to a stream: the defaults of each family, and what a family cannot do."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from ingestion.contracts.families import OWN_FAMILIES, Family
from ingestion.generators import product, social
from ingestion.generators.downloads import DownloadStream
from ingestion.generators.engagement import EngagementStream
from ingestion.generators.generic import GenericStream
from ingestion.generators.incidents import Incident
from ingestion.generators.mixed import MixedStream
from ingestion.generators.product import ProductPlan, ProductStream
from ingestion.generators.social import SocialStream
from ingestion.generators.social_graph import GraphPlan
from ingestion.generators.stream import EventStream, SeededStream, StreamPlan

DEFAULT_EVENTS = 1000
DEFAULT_USERS = 1000
DEFAULT_RATE = 100.0
DEFAULT_SEED = 42


@dataclass(frozen=True)
class Wish:
    """What is asked for; None where the family's default is wanted. `family` None: all of them, mixed."""

    family: Family | None
    anchor: datetime
    events: int | None = None
    seed: int | None = None
    rate: float | None = None
    duplicates_ratio: float = 0.0
    malformed_ratio: float = 0.0
    late_ratio: float = 0.0
    downloads_per_minute: float = 7.0
    incidents: tuple[Incident, ...] = ()
    product: ProductPlan = field(default_factory=ProductPlan)
    graph: GraphPlan = field(default_factory=GraphPlan)

    def plan(self, rate: float, seed: int = DEFAULT_SEED) -> StreamPlan:
        """The plan with these defaults."""
        return StreamPlan(
            DEFAULT_EVENTS if self.events is None else self.events,
            self.anchor,
            seed if self.seed is None else self.seed,
            rate if self.rate is None else self.rate,
            self.duplicates_ratio,
            self.malformed_ratio,
            self.late_ratio,
        )


def make_stream(wish: Wish) -> EventStream:
    """The stream. Raises: ValueError when the family cannot do what is asked for."""
    match wish.family:
        case None:
            return _mixed(wish)
        case Family.ENGAGEMENT:
            return EngagementStream(wish.plan(DEFAULT_RATE))
        case Family.GENERIC:
            return GenericStream(wish.plan(DEFAULT_RATE))
        case Family.DOWNLOAD:
            return DownloadStream(wish.plan(wish.downloads_per_minute / 60), wish.incidents)
        case Family.PRODUCT:
            return _product(wish)
        case Family.SOCIAL:
            return _social(wish)
        case Family.SEGMENT | Family.CLOUDEVENT:
            raise ValueError(f"there is no generator of {wish.family.value} events: their own libraries send them")


def _product(wish: Wish) -> ProductStream:
    plan, journeys = wish.plan(0.0 if wish.product.history_days else DEFAULT_RATE), wish.product
    if wish.events is None:
        journeys = replace(journeys, users=DEFAULT_USERS if journeys.users is None else journeys.users)
        plan = product.whole_plan(plan, journeys)
    return ProductStream(plan, journeys)


def _social(wish: Wish) -> SocialStream:
    if wish.rate:
        raise ValueError("a social graph has no rate: all of it lies before the anchor")
    plan = wish.plan(0.0, social.DEFAULT_SEED)
    if wish.events is None:
        plan = social.whole_plan(plan, wish.graph)
    return SocialStream(plan, wish.graph)


def _mixed(wish: Wish) -> MixedStream:
    """A fifth of the lines for each family. Social lines have the times of their graph and are never late on purpose."""
    total = wish.plan(DEFAULT_RATE)
    share, rest = divmod(total.events, len(OWN_FAMILIES))
    graph = wish.graph if wish.graph != GraphPlan() else GraphPlan(users=max(5, share // 20), posts=share)
    streams: dict[str, SeededStream] = {}
    for place, family in enumerate(OWN_FAMILIES):
        plan = replace(total, events=share + (place < rest), rate=total.rate / len(OWN_FAMILIES))
        match family:
            case Family.ENGAGEMENT:
                streams[family.value] = EngagementStream(plan)
            case Family.GENERIC:
                streams[family.value] = GenericStream(plan)
            case Family.DOWNLOAD:
                streams[family.value] = DownloadStream(plan, wish.incidents)
            case Family.PRODUCT:
                streams[family.value] = ProductStream(plan, wish.product)
            case Family.SOCIAL:
                streams[family.value] = SocialStream(replace(plan, late_ratio=0.0), graph)
    return MixedStream(streams)
