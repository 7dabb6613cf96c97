"""Counters and histograms of what happens on the event loop alone, without locks.

The client library's own take a lock and several calls per observation, four observations per request: a fifth of a single
event's profile. These are read on the loop too; the library renders them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString


class LoopCounter(Collector):
    """A counter: add to `value`."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry) -> None:
        self._name, self._documentation = name, documentation
        self.value = 0
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """See Collector."""
        return [CounterMetricFamily(self._name, self._documentation)]

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        return [CounterMetricFamily(self._name, self._documentation, value=self.value)]


class LoopTimer:
    """Observations of one combination of labels."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one; a bound belongs to the bucket below it."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class LoopHistogram(Collector):
    """A histogram whose timers are kept by whoever observes."""

    def __init__(
        self,
        name: str,
        documentation: str,
        bounds: Sequence[float],
        registry: CollectorRegistry,
        labels: Sequence[str] = (),
    ) -> None:
        self._name, self._documentation, self._bounds, self._labels = name, documentation, bounds, labels
        self._timers: dict[tuple[str, ...], LoopTimer] = {}
        registry.register(self)

    def timer(self, *values: str) -> LoopTimer:
        """The timer for these values of the labels."""
        return self._timers.setdefault(values, LoopTimer(self._bounds))

    def describe(self) -> Iterable[Metric]:
        """See Collector."""
        return [HistogramMetricFamily(self._name, self._documentation, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        names = [
            floatToGoString(bound)  # type: ignore[no-untyped-call]
            for bound in (*self._bounds, float("inf"))
        ]
        for values, timer in self._timers.items():
            buckets, below = [], 0
            for name, count in zip(names, timer.counts, strict=True):
                below += count
                buckets.append((name, below))
            family.add_metric(values, buckets, timer.sum)
        return [family]
