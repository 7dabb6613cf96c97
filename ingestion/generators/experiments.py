"""What a simulated experiment is, and the ground truth that FEATURES' definition gives for what was really generated.

Exposure is a user's first `feature_exposed`; converted is at least one conversion in [exposure, exposure + 7 days), whether the
conversion names the experiment or not; a user exposed to several variants is excluded and counted.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from ingestion.generators.truth import Story

CONVERSION_WINDOW_MILLISECONDS = 7 * 86_400_000
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class SimulatedExperiment:
    """The first variant is the control. `rates` are the true conversion rates, one per variant; `shares` what is configured.

    `ratio_fault` moves this share of users from the first variant to the last, against the configuration.
    """

    experiment_id: str = "checkout_button"
    variants: tuple[str, ...] = ("A", "B")
    rates: tuple[float, ...] = (0.10, 0.12)
    shares: tuple[float, ...] = ()
    ratio_fault: float = 0.0

    def __post_init__(self) -> None:
        if len(self.variants) < 2 or len(set(self.variants)) < len(self.variants):
            raise ValueError(f"an experiment has at least two distinct variants, found {list(self.variants)}")
        if len(self.rates) != len(self.variants) or not all(0 <= rate <= 1 for rate in self.rates):
            raise ValueError(f"rates are in 0..1 and one per variant, found {list(self.rates)}")
        shares = self.shares or tuple(1 / len(self.variants) for _ in self.variants)
        if len(shares) != len(self.variants) or abs(sum(shares) - 1) > _TOLERANCE or min(shares) < 0:
            raise ValueError(f"shares are one per variant and sum to 1, found {list(shares)}")
        object.__setattr__(self, "shares", shares)
        if not 0 <= self.ratio_fault <= shares[0]:
            raise ValueError(f"ratio_fault lies between 0 and the first share, found {self.ratio_fault:g}")

    @property
    def true_shares(self) -> tuple[float, ...]:
        """By what users are really assigned."""
        first, *middle, last = self.shares
        return (first - self.ratio_fault, *middle, last + self.ratio_fault)


@dataclass(frozen=True)
class VariantTruth:
    """Users of one variant, excluded ones left out. `true_rate` is what the generator aimed at."""

    variant: str
    share: float
    true_rate: float
    exposed_users: int
    converted_users: int


@dataclass(frozen=True)
class ExperimentTruth:
    """What a mart must arrive at. `exposures` counts unique events, repeated ones included."""

    experiment_id: str
    variants: tuple[VariantTruth, ...]
    excluded_users: int
    exposures: int
    ratio_fault: float


@dataclass(frozen=True)
class ProductStory(Story):
    """The experiments, and unique users without any exposure."""

    experiments: tuple[ExperimentTruth, ...]
    unexposed_users: int


@dataclass
class _User:
    """The user whose events are being generated."""

    user_id: str
    exposures: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    conversions: list[int] = field(default_factory=list)


class ExperimentRecorder:
    """Adds up the truth from events. One user's events must come together; memory holds one user and the counts."""

    def __init__(self, experiments: tuple[SimulatedExperiment, ...]) -> None:
        self._experiments = experiments
        self._user: _User | None = None
        self._exposed: Counter[tuple[str, str]] = Counter()
        self._converted: Counter[tuple[str, str]] = Counter()
        self._excluded: Counter[str] = Counter()
        self._exposures: Counter[str] = Counter()
        self._unexposed_users = 0

    def note(self, user_id: str, event_type: str, milliseconds: int, experiment_id: str | None, variant: str) -> None:
        """One unique event."""
        if self._user is None or self._user.user_id != user_id:
            self._settle()
            self._user = _User(user_id)
        if event_type == "conversion":
            self._user.conversions.append(milliseconds)
        elif event_type == "feature_exposed" and experiment_id is not None:
            self._user.exposures[experiment_id].append((milliseconds, variant))
            self._exposures[experiment_id] += 1

    def story(self) -> ProductStory:
        """The truth so far. The last user counts as complete."""
        self._settle()
        truths = [
            ExperimentTruth(
                experiment.experiment_id,
                tuple(
                    VariantTruth(
                        variant,
                        experiment.shares[place],
                        experiment.rates[place],
                        self._exposed[experiment.experiment_id, variant],
                        self._converted[experiment.experiment_id, variant],
                    )
                    for place, variant in enumerate(experiment.variants)
                ),
                self._excluded[experiment.experiment_id],
                self._exposures[experiment.experiment_id],
                experiment.ratio_fault,
            )
            for experiment in self._experiments
        ]
        return ProductStory(tuple(truths), self._unexposed_users)

    def _settle(self) -> None:
        user, self._user = self._user, None
        if user is None:
            return
        self._unexposed_users += not user.exposures
        for experiment_id, exposures in user.exposures.items():
            exposed_at, variant = min(exposures)
            if len({seen for _, seen in exposures}) > 1:
                self._excluded[experiment_id] += 1
                continue
            self._exposed[experiment_id, variant] += 1
            ends_at = exposed_at + CONVERSION_WINDOW_MILLISECONDS
            self._converted[experiment_id, variant] += any(exposed_at <= at < ends_at for at in user.conversions)
