"""Downloads: the mix of the contract, and incidents that do what their labels say."""

import json
from collections import Counter
from functools import cache
from typing import Any

import pytest

from ingestion.generators import StreamPlan
from ingestion.generators.downloads import DEVICES, ERRORS, PLACES, REGIONS, TITLES, DownloadStory, DownloadStream
from ingestion.generators.incidents import Incident, parse_incident
from tests.unit.ingestion.generators.families import ANCHOR

EVENTS, RATE = 5_000, 25.0


def read(*incidents: Incident, **overrides: Any) -> tuple[list[dict[str, Any]], DownloadStory]:
    stream = DownloadStream(StreamPlan(**{"events": EVENTS, "anchor": ANCHOR, "rate": RATE, **overrides}), incidents)
    events = [json.loads(event.raw) for event in stream]
    story = stream.truth().story
    assert isinstance(story, DownloadStory)
    return events, story


@cache
def _untouched() -> list[dict[str, Any]]:
    return read()[0]


@pytest.mark.feature("S4-1")
def test_titles_places_devices_outcomes_and_errors_are_those_of_the_catalogue() -> None:
    """Shares of 5,000 downloads: within 0.03, more than four standard deviations of the widest of them."""
    assert (len(TITLES), len(PLACES), len(REGIONS), len(DEVICES), len(ERRORS)) == (4, 10, 9, 6, 4)
    events, story = read()
    titles = Counter(event["content"]["content_id"] for event in events)
    for (_, content_id, *_), share in zip(TITLES, (0.50, 0.30, 0.15, 0.05), strict=True):
        assert titles[content_id] / EVENTS == pytest.approx(share, abs=0.03)
    places = Counter((event["user_context"]["region"], event["user_context"]["city"]) for event in events)
    assert set(places) == set(PLACES)
    assert all(count / EVENTS == pytest.approx(0.1, abs=0.02) for count in places.values())
    assert len({event["user_context"]["device"] for event in events}) == 6
    failed = [event["download"] for event in events if event["download"]["status"] == "failed"]
    assert len(failed) / EVENTS == pytest.approx(0.08, abs=0.016)
    assert {outcome["error_code"] for outcome in failed} == set(ERRORS)
    assert story.by_status == dict(Counter(event["download"]["status"] for event in events))
    assert story.by_content == dict(titles)


def test_two_of_a_hundred_are_slow_successes() -> None:
    from ingestion.generators.downloads import CONNECTIONS

    slow = 0
    for event in _untouched():
        lowest, highest = CONNECTIONS[event["user_context"]["connection_type"]]
        speed, status = event["download"]["speed_mbps"], event["download"]["status"]
        assert speed <= highest
        slow += speed < lowest and status == "success"
    # Some slow ones are faster than the slowest usual ones of their connection.
    assert 0.006 < slow / EVENTS <= 0.028


@pytest.mark.feature("S4-1")
def test_an_outage_halves_success_in_its_region_and_interval_and_nowhere_else() -> None:
    outage = Incident("region_outage", "eu-west", 40, 100)
    events, story = read(outage)
    untouched = _untouched()
    inside: list[dict[str, Any]] = []
    for event, before in zip(events, untouched, strict=True):
        is_inside = (
            event["user_context"]["region"] == "eu-west"
            and 40_000 <= event["timestamp"] - ANCHOR.timestamp() * 1000 < 100_000
        )
        if is_inside:
            inside.append(event)
        else:
            assert event == before
    statuses = Counter(event["download"]["status"] for event in inside)
    (label,) = story.incidents
    assert (label.type, label.region) == ("region_outage", "eu-west")
    assert (label.from_at, label.to_at) == ("2026-11-21T09:30:40.000000Z", "2026-11-21T09:31:40.000000Z")
    assert label.events_affected == len(inside) > 200
    assert (label.success, label.failed) == (statuses["success"], statuses["failed"])
    assert 0.2 < label.success / len(inside) <= 0.5


@pytest.mark.feature("S4-1")
def test_a_slow_cdn_halves_speeds_or_worse() -> None:
    events, story = read(Incident("slow_cdn", "*", 50, 150, 0.5))
    untouched = _untouched()
    affected = 0
    for event, before in zip(events, untouched, strict=True):
        speeds = event["download"]["speed_mbps"], before["download"]["speed_mbps"]
        if 50_000 <= event["timestamp"] - ANCHOR.timestamp() * 1000 < 150_000:
            affected += 1
            assert speeds[0] == pytest.approx(speeds[1] / 2, abs=0.01)
            assert event["download"]["duration_seconds"] > before["download"]["duration_seconds"] * 1.9
        else:
            assert speeds[0] == speeds[1]
    assert story.incidents[0].events_affected == affected > 2000


def test_copies_and_malformed_lines_are_not_in_the_labels() -> None:
    outage = Incident("region_outage", "eu-west", -10, 1e9)
    events, story = read(outage, duplicates_ratio=0.0)
    stream = DownloadStream(StreamPlan(EVENTS, ANCHOR, rate=RATE, duplicates_ratio=0.2, malformed_ratio=0.2), (outage,))
    unique = {event.event_id: json.loads(event.raw) for event in stream if event.kind == "event"}
    label = stream.truth().story.incidents[0]  # type: ignore[union-attr]  # a download story
    assert label.events_affected == sum(event["user_context"]["region"] == "eu-west" for event in unique.values())
    assert label.events_affected < story.incidents[0].events_affected <= len(events)


def test_the_same_dicts_can_be_written_in_another_encoding() -> None:
    kept: list[dict[str, Any]] = []

    def encode(fields: dict[str, Any]) -> bytes:
        kept.append(fields)
        return b"avro"

    lines = list(DownloadStream(StreamPlan(50, ANCHOR), encode=encode))
    assert {line.raw for line in lines} == {b"avro"}
    assert kept == [json.loads(line.raw) for line in DownloadStream(StreamPlan(50, ANCHOR))]


def test_incidents_are_read_from_the_command_line() -> None:
    assert parse_incident("slow_cdn:*:0:60") == Incident("slow_cdn", "*", 0, 60)
    assert parse_incident("region_outage:eu-west:1.5:60:0.1") == Incident("region_outage", "eu-west", 1.5, 60, 0.1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fire:eu-west:0:60",
        "slow_cdn:*:60:60",
        "slow_cdn:*:a:b",
        "slow_cdn:*:0:60:0.6",
        "region_outage:*:0:60",
        "slow_cdn:*:0:1:0:0",
    ],
)
def test_incidents_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_incident(text)


def test_a_region_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="eu-west"):
        DownloadStream(StreamPlan(1, ANCHOR), (Incident("slow_cdn", "moon", 0, 1),))
