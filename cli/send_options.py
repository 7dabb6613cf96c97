"""The options of `tidemark send` that belong to one family, and what they ask for."""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from ingestion.generators.catalogue import Wish
    from ingestion.generators.product import ProductPlan
    from ingestion.generators.scenario import Scenario as ScenarioFile

T = TypeVar("T")
_DOWNLOADS, _PRODUCT, _SOCIAL = "Downloads", "Product events", "Social events"


class FamilyChoice(StrEnum):
    """What can be sent."""

    ENGAGEMENT = "engagement"
    PRODUCT = "product"
    GENERIC = "generic"
    SOCIAL = "social"
    DOWNLOAD = "download"
    ALL = "all"


Scenario = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="TOML with incidents of downloads and experiments.")
]
PerMinute = Annotated[
    float | None,
    typer.Option(min=0.001, help="Downloads per minute; default EVENTS_PER_MINUTE.", rich_help_panel=_DOWNLOADS),
]
Incidents = Annotated[
    list[str] | None,
    typer.Option(
        help="TYPE:REGION:FROM:TO[:STRENGTH], seconds from the anchor; region_outage or slow_cdn. Repeatable.",
        rich_help_panel=_DOWNLOADS,
    ),
]
Users = Annotated[
    int | None, typer.Option(min=1, help="Users; default 1000. Of social events too.", rich_help_panel=_PRODUCT)
]
ExperimentId = Annotated[
    str | None, typer.Option("--experiment", help="Its id; default checkout_button.", rich_help_panel=_PRODUCT)
]
ControlRate = Annotated[
    float | None, typer.Option(help="True conversion rate of A; default 0.10.", rich_help_panel=_PRODUCT)
]
TreatmentRate = Annotated[
    float | None, typer.Option(help="True conversion rate of B; default 0.12.", rich_help_panel=_PRODUCT)
]
RatioFault = Annotated[
    float | None,
    typer.Option(help="Share of users who are given B although A is configured.", rich_help_panel=_PRODUCT),
]
TwoVariants = Annotated[
    float | None,
    typer.Option(help="Share of exposed users who see both variants; default 0.01.", rich_help_panel=_PRODUCT),
]
HistoryDays = Annotated[
    int | None, typer.Option(help="Spread over so many past days, at least 9.", rich_help_panel=_PRODUCT)
]
Register = Annotated[
    bool, typer.Option("--register", help="Register the experiments before sending.", rich_help_panel=_PRODUCT)
]
Posts = Annotated[int | None, typer.Option(min=1, help="Default 10000.", rich_help_panel=_SOCIAL)]
Hashtags = Annotated[int | None, typer.Option(min=4, help="Default 150.", rich_help_panel=_SOCIAL)]
Repeats = Annotated[
    float | None,
    typer.Option(
        help="Share of engagements that come again under a new event id; default 0.02.", rich_help_panel=_SOCIAL
    ),
]


@dataclass(frozen=True)
class FamilyOptions:
    """The options as given; None, empty or False where not."""

    scenario: Path | None = None
    per_minute: float | None = None
    incident: tuple[str, ...] = ()
    users: int | None = None
    experiment: str | None = None
    control_rate: float | None = None
    treatment_rate: float | None = None
    ratio_fault: float | None = None
    two_variants: float | None = None
    history_days: int | None = None
    register: bool = False
    posts: int | None = None
    hashtags: int | None = None
    repeats: float | None = None

    @property
    def given(self) -> set[str]:
        """Names of options with a value."""
        return {item.name for item in fields(self) if getattr(self, item.name) not in (None, (), False)}


_OF_FAMILY: dict[FamilyChoice, set[str]] = {
    FamilyChoice.DOWNLOAD: {"scenario", "per_minute", "incident"},
    FamilyChoice.PRODUCT: {
        "scenario", "users", "experiment", "control_rate", "treatment_rate", "ratio_fault", "two_variants",
        "history_days", "register",
    },
    FamilyChoice.SOCIAL: {"users", "posts", "hashtags", "repeats"},
}  # fmt: skip
# In a mix, the number of lines decides how large everything is.
_OF_FAMILY[FamilyChoice.ALL] = {
    "scenario", "incident", "experiment", "control_rate", "treatment_rate", "ratio_fault", "two_variants", "register",
}  # fmt: skip


def make_wish(
    family: FamilyChoice,
    anchor: datetime,
    events: int | None,
    seed: int | None,
    rate: float | None,
    ratios: tuple[float, float, float],
    options: FamilyOptions,
) -> "Wish":
    """What the stream is made from. Raises: ValueError for options that contradict each other or another family's."""
    from ingestion.contracts.families import Family
    from ingestion.generators.catalogue import Wish
    from ingestion.generators.incidents import parse_incident
    from ingestion.generators.scenario import Scenario as ScenarioFile
    from ingestion.generators.scenario import load_scenario
    from ingestion.generators.social_graph import GraphPlan
    from ingestion.settings import GeneratorSettings

    foreign = options.given - _OF_FAMILY.get(family, set())
    if foreign:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(foreign))
        raise ValueError(f"{family.value} events know no {names}")
    found = load_scenario(options.scenario) if options.scenario is not None else ScenarioFile()
    default = GraphPlan()
    graph = GraphPlan(
        users=_or(options.users, default.users),
        posts=_or(options.posts, default.posts),
        hashtags=_or(options.hashtags, default.hashtags),
        repeats_ratio=_or(options.repeats, default.repeats_ratio),
    )
    return Wish(
        family=None if family is FamilyChoice.ALL else Family(family.value),
        anchor=anchor,
        events=events,
        seed=seed,
        rate=rate,
        duplicates_ratio=ratios[0],
        malformed_ratio=ratios[1],
        late_ratio=ratios[2],
        downloads_per_minute=_or(options.per_minute, GeneratorSettings().events_per_minute),
        incidents=(*found.incidents, *map(parse_incident, options.incident)),
        product=_product(options, found),
        graph=graph,
    )


def _product(options: FamilyOptions, found: "ScenarioFile") -> "ProductPlan":
    from ingestion.generators.experiments import SimulatedExperiment
    from ingestion.generators.product import ProductPlan

    of_one = options.given & {"experiment", "control_rate", "treatment_rate", "ratio_fault"}
    if of_one and found.experiments:
        raise ValueError("experiments are given by options or by the scenario, not by both")
    default, control = ProductPlan(), SimulatedExperiment()
    one = SimulatedExperiment(
        experiment_id=_or(options.experiment, control.experiment_id),
        rates=(_or(options.control_rate, control.rates[0]), _or(options.treatment_rate, control.rates[1])),
        ratio_fault=_or(options.ratio_fault, control.ratio_fault),
    )
    return ProductPlan(
        experiments=found.experiments or (one,),
        users=options.users,
        two_variants_ratio=_or(options.two_variants, default.two_variants_ratio),
        history_days=_or(options.history_days, default.history_days),
    )


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
