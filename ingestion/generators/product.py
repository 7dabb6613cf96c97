"""The seeded product stream (S1): users see pages, are exposed to a variant, and convert at the rate that was chosen for it.

Every user is one journey, and takes part in one of the experiments or in none. A journey takes less than two seconds before its
place in the stream, so that it can be sent live; with `history_days` journeys lie in the past and take days, and then some conversions
come after the seven days that count. `late_ratio` is a share of lines, but a journey is late as a whole or not at all.
"""

import random
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from ingestion.contracts.families import Family
from ingestion.generators.experiments import (
    CONVERSION_WINDOW_MILLISECONDS,
    ExperimentRecorder,
    ProductStory,
    SimulatedExperiment,
)
from ingestion.generators.malformed import PRODUCT_KINDS, Fields
from ingestion.generators.stream import (
    JITTER_SECONDS,
    Draft,
    SeededStream,
    StreamPlan,
    Timeline,
    lines_for,
    make_event_id,
    seeded,
    to_milliseconds,
)

Step = Literal["page_view", "feature_exposed", "conversion"]
SHORTEST_HISTORY_DAYS = 9
_DAY_MILLISECONDS = 86_400_000
_PAGES = ("/", "/pricing", "/docs", "/checkout", "/account", "/über-uns")
_PLANS = ("free", "team", "business")
_LEGACY_SHARE = 0.1  # clients that still write event_time
_EARLY_CONVERSION_SHARE = 0.03
_LATE_CONVERSION_SHARE = 0.05
_REPEATED_EXPOSURE_SHARE = 0.2
_NAMED_CONVERSION_SHARE = 0.5  # conversions that name experiment and variant


@dataclass(frozen=True)
class ProductPlan:
    """Who does what. `users` None goes on for as long as lines are asked for."""

    experiments: tuple[SimulatedExperiment, ...] = (SimulatedExperiment(),)
    users: int | None = None
    exposed_ratio: float = 0.9
    two_variants_ratio: float = 0.01
    history_days: int = 0

    def __post_init__(self) -> None:
        if not self.experiments or not all(0 <= ratio <= 1 for ratio in (self.exposed_ratio, self.two_variants_ratio)):
            raise ValueError("a product stream has an experiment, and ratios in 0..1")
        if self.history_days and self.history_days < SHORTEST_HISTORY_DAYS:
            raise ValueError(
                f"history_days is 0 or at least {SHORTEST_HISTORY_DAYS}: a conversion has seven days, found {self.history_days}"
            )


@dataclass(frozen=True)
class _Moment:
    """One step of a journey, in milliseconds from its exposure."""

    step: Step
    milliseconds: int
    variant: str | None = None


class ProductSource:
    """Journeys, one user after the other."""

    family = Family.PRODUCT
    spoilers = PRODUCT_KINDS

    def __init__(self, plan: StreamPlan, product: ProductPlan) -> None:
        if product.history_days and (plan.late_ratio or plan.rate):
            raise ValueError("a history has no late share and no rate: all of it lies in the past")
        self._plan = plan
        self._product = product
        self._random = seeded(plan, "product")
        self._spare_random = seeded(plan, "product:spare")
        # Times are drawn apart: late journeys are the same journeys.
        self._timeline = Timeline(plan, seeded(plan, "product:times"))
        self._recorder = ExperimentRecorder(product.experiments)
        self._user_count = self._event_count = 0
        self._waiting: deque[tuple[Fields, datetime, bool]] = deque()

    def draft(self, index: int, makes_late: bool) -> Draft | None:
        """See Source."""
        if not self._waiting:
            if self._user_count == self._product.users:
                return None
            self._begin_journey(index, makes_late)
        fields, occurred_at, is_late = self._waiting.popleft()
        return Draft(fields, fields["event_type"], fields["user_id"], occurred_at, is_late)

    def spare(self, index: int) -> Fields:
        """See Source."""
        return {
            "event_id": make_event_id(self._plan, f"product:spare:{index}"),
            "event_type": "page_view",
            "user_id": f"visitor_{self._spare_random.randrange(10_000):05d}",
            "event_ts": to_milliseconds(self._plan.anchor),
            "properties": {"path": self._spare_random.choice(_PAGES)},
        }

    def note(self, draft: Draft) -> None:
        """See Source."""
        fields = draft.fields
        at = fields["event_ts"] if "event_ts" in fields else fields["event_time"]
        self._recorder.note(draft.user_id, draft.event_type, at, fields.get("experiment_id"), fields.get("variant", ""))

    def story(self) -> ProductStory:
        """See Source."""
        return self._recorder.story()

    def _begin_journey(self, index: int, makes_late: bool) -> None:
        random_, user_id = self._random, f"visitor_{self._user_count:07d}"
        self._user_count += 1
        is_exposed = random_.random() < self._product.exposed_ratio
        experiment = random_.choice(self._product.experiments)
        place = random_.choices(range(len(experiment.variants)), experiment.true_shares)[0]
        moments = self._moments(experiment, place, is_exposed)
        start, is_late = self._start(index, makes_late)
        for moment in moments:
            occurred_at = start + timedelta(milliseconds=moment.milliseconds)
            named = experiment.experiment_id if moment.variant is not None else None
            self._waiting.append((self._fields(user_id, moment, occurred_at, named), occurred_at, is_late))

    def _start(self, index: int, makes_late: bool) -> tuple[datetime, bool]:
        """(time of the exposure, whether the journey counts as late)."""
        days = self._product.history_days
        if days:
            back = self._timeline.random.randrange(
                (SHORTEST_HISTORY_DAYS - 1) * _DAY_MILLISECONDS, days * _DAY_MILLISECONDS
            )
            return self._plan.anchor - timedelta(milliseconds=back), True
        occurred_at, is_late = self._timeline.occurred_at(index, makes_late)
        if not makes_late:  # the exposure is in the middle of the two seconds before the line's time
            pace = index / self._plan.rate if self._plan.rate > 0 else 0.0
            occurred_at = self._plan.anchor + timedelta(seconds=round(pace - JITTER_SECONDS / 2, 3))
        return occurred_at, is_late

    def _moments(self, experiment: SimulatedExperiment, place: int, is_exposed: bool) -> list[_Moment]:
        """A user's steps in the order of time. Draws the outcome first, so that it does not depend on the rest."""
        random_, variant = self._random, experiment.variants[place]
        converts = random_.random() < experiment.rates[place]
        named = variant if is_exposed and random_.random() < _NAMED_CONVERSION_SHARE else None
        before, after = self._spread(True), self._spread(False)
        moments = [_Moment("page_view", before()) for _ in range(random_.randint(1, 3))]
        if random_.random() < _EARLY_CONVERSION_SHARE:
            moments.append(_Moment("conversion", before()))
        if is_exposed:
            moments.append(_Moment("feature_exposed", 0, variant))
            if random_.random() < _REPEATED_EXPOSURE_SHARE:
                moments.append(_Moment("feature_exposed", after(), variant))
            if random_.random() < self._product.two_variants_ratio:
                other = random_.choice([name for name in experiment.variants if name != variant])
                moments.append(_Moment("feature_exposed", after(), other))
        if converts:
            moments += [_Moment("conversion", after(), named) for _ in range(random_.choice((1, 1, 1, 2)))]
        if self._product.history_days and random_.random() < _LATE_CONVERSION_SHARE:
            # The first of these instants is exactly the one that no longer counts.
            late = CONVERSION_WINDOW_MILLISECONDS + random_.choice((0, 1, 3_600_000))
            moments.append(_Moment("conversion", late))
        return sorted(moments, key=lambda moment: moment.milliseconds)

    def _spread(self, is_before: bool) -> "_Spread":
        days = self._product.history_days
        reach = CONVERSION_WINDOW_MILLISECONDS if days else int(JITTER_SECONDS * 500)
        return _Spread(self._random, -reach if is_before else 1, -1 if is_before else reach - 1)

    def _fields(self, user_id: str, moment: _Moment, occurred_at: datetime, experiment_id: str | None) -> Fields:
        random_, at = self._random, to_milliseconds(occurred_at)
        fields: Fields = {
            "event_id": make_event_id(self._plan, f"product:{self._event_count}"),
            "event_type": moment.step,
            "user_id": user_id,
            "event_time" if random_.random() < _LEGACY_SHARE else "event_ts": at,
            "producer_ts": at + random_.randrange(200),
        }
        self._event_count += 1
        if experiment_id is not None:
            fields |= {"experiment_id": experiment_id, "variant": moment.variant}
        if moment.step == "page_view":
            fields["properties"] = {"path": random_.choice(_PAGES), "load_ms": round(random_.uniform(40, 900), 1)}
        elif moment.step == "conversion":
            fields["properties"] = {"plan": random_.choice(_PLANS), "amount": round(random_.uniform(5, 400), 2)}
        return fields | {"sdk_version": "2.4.1", "source": random_.choice(("web", "ios", "android"))}


@dataclass
class _Spread:
    """Milliseconds between two bounds, both included."""

    random: random.Random
    lowest: int
    highest: int

    def __call__(self) -> int:
        return self.random.randint(self.lowest, self.highest)


class ProductStream(SeededStream):
    """Iterate once; `truth()` tells what was generated so far."""

    def __init__(self, plan: StreamPlan, product: ProductPlan | None = None) -> None:
        super().__init__(plan, ProductSource(plan, product or ProductPlan()))


def whole_plan(plan: StreamPlan, product: ProductPlan) -> StreamPlan:
    """The plan with as many lines as all journeys of `product.users` take: they are drafted once to be counted."""
    source, count = ProductSource(plan, product), 0
    while source.draft(count, False) is not None:
        count += 1
    return replace(plan, events=lines_for(count, plan.duplicates_ratio, plan.malformed_ratio))
