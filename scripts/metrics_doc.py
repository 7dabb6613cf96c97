"""Prints docs/metrics.md: every metric that our processes export, from the registries themselves.

`python -m scripts.metrics_doc > docs/metrics.md`; a test compares the file with this output.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

HEAD = """\
<!-- generated: python -m scripts.metrics_doc > docs/metrics.md -->

# Metrics

Prometheus text on `/metrics` of each service (ingestion :8000, analytics :8001), and everything on the stack's own port (:9090), where
`service` names who said it. The unit is in the name. Labels have few values: a route is its template, never an address; no label names an
app, a user or a key.

Rates come from counters: `rate(tidemark_ingestion_events_accepted_total[1m])` is the ingestion rate,
`rate(tidemark_ingestion_events_refused_total[1m])` the error rate by reason.
"""
SECTIONS = ("Ingestion API", "Analytics API", "Stack (:9090)")
_SUFFIXES = {"counter": "_total"}
_UNITS = ("seconds", "bytes", "records", "connections")


@dataclass(frozen=True)
class Row:
    """One metric."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    description: str


def rows() -> dict[str, list[Row]]:
    """Section -> its metrics, by name."""
    from ingestion.api.metrics import Metrics
    from local_stack.metrics import StackCollector
    from local_stack.settings import StackSettings
    from serving.metrics import ServingMetrics

    with TemporaryDirectory() as empty:
        stack = [*StackCollector(StackSettings(home=Path(empty)), services={}).collect()]
    found = [_of_registry(Metrics().registry), _of_registry(ServingMetrics().registry), _of_families(stack)]
    return {section: sorted(each, key=lambda row: row.name) for section, each in zip(SECTIONS, found, strict=True)}


def render() -> str:
    """The whole file."""
    parts = [HEAD]
    for section, found in rows().items():
        parts.append(f"\n## {section}\n\n| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n")
        for row in found:
            labels = ", ".join(f"`{label}`" for label in row.labels) or "-"
            parts.append(f"| `{row.name}` | {row.kind} | {row.unit} | {labels} | {row.description} |\n")
    return "".join(parts)


def _of_registry(registry: CollectorRegistry) -> Iterator[Row]:
    # The library tells names of labels only with samples, which a fresh registry does not have.
    for collector in list(registry._collector_to_names):
        for family in collector.describe():
            yield _row(family, (collector if isinstance(collector, MetricWrapperBase) else family)._labelnames)


def _of_families(families: Iterable[Metric]) -> Iterator[Row]:
    for family in families:
        yield _row(family, getattr(family, "_labelnames", ()))


def _row(family: Metric, labels: Iterable[str]) -> Row:
    unit = next((unit for unit in _UNITS if family.name.endswith(unit)), "1")
    name = family.name + _SUFFIXES.get(family.type, "")
    return Row(name, family.type, unit, tuple(labels), family.documentation)


if __name__ == "__main__":
    sys.stdout.write(render())
