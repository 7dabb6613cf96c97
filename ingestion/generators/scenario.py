"""The scenario file: scripted incidents of downloads and simulated experiments, in TOML, for example:

[[incidents]]
type = "region_outage"       # or slow_cdn
region = "eu-west"           # * is every region, for slow_cdn
from_seconds = 60            # from the anchor
to_seconds = 360
strength = 0.3               # successes left, or factor of speeds; at most 0.5

[[experiments]]
experiment_id = "checkout_button"
variants = ["A", "B"]        # the first is the control
rates = [0.10, 0.12]         # true conversion rates
shares = [0.5, 0.5]          # as configured; equal without them
ratio_fault = 0.05           # moved from the first variant to the last, against the configuration
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion.generators.experiments import SimulatedExperiment
from ingestion.generators.incidents import Incident


@dataclass(frozen=True)
class Scenario:
    """What a file asks for."""

    incidents: tuple[Incident, ...] = ()
    experiments: tuple[SimulatedExperiment, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """The scenario of a TOML file. Raises: ValueError naming file and fault."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        unknown = document.keys() - {"incidents", "experiments"}
        if unknown:
            raise ValueError(f"expected incidents and experiments, found {sorted(unknown)}")
        incidents = tuple(Incident(**entry) for entry in document.get("incidents", []))
        experiments = tuple(SimulatedExperiment(**_with_tuples(entry)) for entry in document.get("experiments", []))
    except (OSError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    return Scenario(incidents, experiments)


def _with_tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
