"""Counters and histograms without locks say what the client library's own say."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from ingestion.api.loop_metrics import LoopCounter, LoopHistogram

BOUNDS = (0.5, 1, 2.5)
# Below, on and above every bound.
OBSERVATIONS = (0.0, 0.4, 0.5, 0.6, 1, 1.01, 2.5, 2.6, 100)


def lines(registry: CollectorRegistry) -> list[str]:
    """The samples, but for when the library made its own."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_a_histogram_says_what_the_librarys_own_says() -> None:
    own, theirs = CollectorRegistry(), CollectorRegistry()
    timer = LoopHistogram("seconds", "Time.", BOUNDS, own, ["route", "status"]).timer("/a", "201")
    reference = Histogram("seconds", "Time.", ["route", "status"], buckets=BOUNDS, registry=theirs).labels("/a", "201")
    for value in OBSERVATIONS:
        timer.observe(value)
        reference.observe(value)
    assert lines(own) == lines(theirs)


def test_a_counter_says_what_the_librarys_own_says() -> None:
    own, theirs = CollectorRegistry(), CollectorRegistry()
    LoopCounter("events", "Events.", own).value += 3
    Counter("events", "Events.", registry=theirs).inc(3)
    assert lines(own) == lines(theirs)
