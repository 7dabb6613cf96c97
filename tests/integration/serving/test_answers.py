"""Every endpoint against an independent count over random events, at random ranges and at the edges of windows, hours and days."""

from datetime import datetime, timedelta
from random import Random
from typing import Any

import httpx
import pytest

from storage.control.keys import create_key
from tests.fixtures.lake_writer import EVENT_TYPES, PLATFORMS, Event, LakeWriter
from tests.integration.serving import oracle
from tests.integration.serving.conftest import NOW, SEED, open_client

pytestmark = pytest.mark.integration
BASE = "/api/v1/analytics"
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
EDGE_RANGES = [
    (NOW, 24),
    (NOW, 1),
    (NOW, 168),
    (MIDNIGHT, 24),
    (MIDNIGHT, 1),
    (MIDNIGHT + timedelta(microseconds=1), 1),
    (MIDNIGHT - timedelta(microseconds=1), 1),
    (MIDNIGHT + timedelta(minutes=5), 1),
    (NOW - timedelta(days=2), 24),
    (NOW + timedelta(days=30), 168),
    (NOW - timedelta(days=300), 1),
]


def random_ranges(number: int) -> list[tuple[datetime, int]]:
    """Ranges that end anywhere around the events."""
    rng = Random(SEED)
    ranges = []
    for _ in range(number):
        end = NOW - timedelta(microseconds=rng.randrange(5 * 86_400_000_000))
        ranges.append(
            (
                end.replace(minute=0, second=0, microsecond=0) if rng.random() < 0.3 else end,
                rng.choice([1, 2, 7, 24, 100]),
            )
        )
    return ranges


RANGES = EDGE_RANGES + random_ranges(9)


def get(client: httpx.Client, name: str, **parameters: Any) -> dict[str, Any]:
    """The answer, which must be a 200."""
    wanted = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in parameters.items()}
    response = client.get(f"{BASE}/{name}", params=wanted)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def read_cells(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of /events without what the publication adds, times read."""
    names = ("window_start", "window_end")
    return [
        {
            key: datetime.fromisoformat(value) if key in names else value
            for key, value in cell.items()
            if key not in ("computed_at", "is_complete")
        }
        for cell in answer["metrics"]
    ]


@pytest.mark.feature("S0-14")
def test_users_equal_the_count(random_client: httpx.Client, random_lake: LakeWriter) -> None:
    for until, hours_back in RANGES:
        answer = get(random_client, "users", until=until, hours_back=hours_back, limit=1000)
        expected = oracle.users(random_lake.events, "public", until, hours_back, limit=1000)
        assert answer["users"] == expected, (until, hours_back)
        assert answer["total_users"] == len(expected)
        for row in answer["users"]:
            assert row["total_events"] == sum(row[name] for name in oracle.FIELDS.values())


@pytest.mark.feature("S0-14")
def test_users_can_be_filtered_and_limited(random_client: httpx.Client, random_lake: LakeWriter) -> None:
    for only in (
        {"user_id": "user_3"},
        {"platform": "ios"},
        {"user_id": "user_1", "platform": "web"},
        {"user_id": "nobody"},
    ):
        answer = get(random_client, "users", until=NOW, hours_back=100, limit=7, **only)
        assert answer["users"] == oracle.users(random_lake.events, "public", NOW, 100, limit=7, **only)


@pytest.mark.feature("S0-15")
def test_top_users_equal_the_count(random_client: httpx.Client, random_lake: LakeWriter) -> None:
    for until, hours_back in RANGES:
        answer = get(random_client, "top-users", until=until, hours_back=hours_back, limit=100)
        assert answer["top_users"] == oracle.top_users(random_lake.events, "public", until, hours_back, limit=100)
    answer = get(random_client, "top-users", until=NOW)
    assert answer["top_users"] == oracle.top_users(random_lake.events, "public", NOW)
    assert (answer["total_users"], answer["time_range"]) == (10, "Last 24 hours")


@pytest.mark.feature("S0-15")
def test_top_users_can_be_split_by_platform(random_client: httpx.Client, random_lake: LakeWriter) -> None:
    answer = get(random_client, "top-users", until=NOW, limit=50, split_by_platform="true")
    expected = oracle.users(random_lake.events, "public", NOW, limit=50)
    names = ("user_id", "platform", "total_events")
    assert [[row[name] for name in names] for row in answer["top_users"]] == [
        [row[n] for n in names] for row in expected
    ]


@pytest.mark.feature("S0-16")
def test_the_distribution_equals_the_count(random_client: httpx.Client, random_lake: LakeWriter) -> None:
    for until, hours_back in RANGES:
        answer = get(random_client, "event-distribution", until=until, hours_back=hours_back)
        expected = oracle.distribution(random_lake.events, "public", until, hours_back)
        assert [(row["event_type"], row["total_count"]) for row in answer["distribution"]] == expected
        assert answer["total_events"] == sum(number for _, number in expected)
        if expected:
            assert sum(row["percentage"] for row in answer["distribution"]) == pytest.approx(100, abs=0.05)


@pytest.mark.feature("S0-17")
def test_platforms_equal_the_count(random_client: httpx.Client, random_lake: LakeWriter) -> None:
    for until, hours_back in RANGES:
        answer = get(random_client, "platforms", until=until, hours_back=hours_back)
        expected = oracle.platforms(random_lake.events, "public", until, hours_back)
        assert answer["platforms"] == expected
        assert answer["total_platforms"] == len(expected)


@pytest.mark.feature("S0-13")
@pytest.mark.parametrize("time_window", ["5min", "1hr", "1day"])
def test_windows_equal_the_count(random_client: httpx.Client, random_lake: LakeWriter, time_window: str) -> None:
    for until, hours_back in RANGES:
        answer = get(random_client, "events", until=until, hours_back=hours_back, time_window=time_window, limit=1000)
        expected = oracle.windows(random_lake.events, "public", until, time_window, hours_back, limit=1000)
        assert read_cells(answer) == expected, (until, hours_back)
        assert (answer["total_records"], answer["time_window"]) == (len(expected), time_window)
        assert all(cell["unique_users"] <= cell["event_count"] for cell in answer["metrics"])


@pytest.mark.feature("S0-13")
def test_windows_can_be_filtered_and_limited(random_client: httpx.Client, random_lake: LakeWriter) -> None:
    for event_type, platform in zip(EVENT_TYPES, (*PLATFORMS, "web"), strict=True):
        only = {"event_type": event_type, "platform": platform}
        answer = get(random_client, "events", until=NOW, hours_back=100, time_window="1hr", limit=5, **only)
        assert read_cells(answer) == oracle.windows(random_lake.events, "public", NOW, "1hr", 100, limit=5, **only)


@pytest.mark.feature("S0-13")
def test_a_running_window_is_not_complete(lake: LakeWriter) -> None:
    moments = [NOW - timedelta(minutes=10), NOW - timedelta(minutes=1)]
    published = lake.publish([Event(moment) for moment in moments], published_at=NOW)
    with open_client(lake.settings) as client:
        metrics = get(client, "events", hours_back=1)["metrics"]
    assert [(cell["window_start"], cell["is_complete"]) for cell in metrics] == [
        ("2026-01-07T12:30:00Z", False),
        ("2026-01-07T12:20:00Z", True),
    ]
    assert {datetime.fromisoformat(cell["computed_at"]) for cell in metrics} == {published.published_at}


@pytest.mark.feature("S0-16")
def test_a_range_without_until_ends_at_the_request_and_is_half_open(lake: LakeWriter) -> None:
    tick = timedelta(microseconds=1)
    start = NOW - timedelta(hours=1)
    moments = {start - tick: False, start: True, NOW - tick: True, NOW: False}
    for is_inside, event_type in ((True, "like"), (False, "share")):
        lake.publish(
            [Event(moment, event_type=event_type) for moment, inside in moments.items() if inside is is_inside]
        )
    with open_client(lake.settings) as client:
        answer = get(client, "event-distribution", hours_back=1)
    assert answer["distribution"] == [{"event_type": "like", "total_count": 2, "percentage": 100.0}]
    assert (datetime.fromisoformat(answer["from"]), datetime.fromisoformat(answer["to"])) == (start, NOW)
    assert answer["source"] == "publication"


@pytest.mark.feature("S0-15")
def test_ties_have_a_total_order(lake: LakeWriter) -> None:
    wanted = [("zoe", "web"), ("zoe", "ios"), ("ann", "web"), ("ann", "ios"), ("bob", "android"), ("Émile", "web")]
    lake.publish([Event(NOW - timedelta(minutes=n + 1), user_id=u, platform=p) for n, (u, p) in enumerate(wanted)])
    with open_client(lake.settings) as client:
        rows = get(client, "top-users")["top_users"]
    assert [(row["user_id"], row["platform"], row["rank"]) for row in rows] == [
        ("ann", "ios", 1),
        ("zoe", "ios", 1),
        ("bob", "android", 2),
        ("Émile", "web", 2),
    ]


def test_before_the_first_publication_answers_are_empty(lake: LakeWriter) -> None:
    with open_client(lake.settings) as client:
        for name, items in (
            ("events", "metrics"),
            ("users", "users"),
            ("top-users", "top_users"),
            ("event-distribution", "distribution"),
            ("platforms", "platforms"),
        ):
            answer = get(client, name)
            assert (answer["publication"], answer["as_of"], answer[items]) == (None, None, [])
        assert client.get("/api/v1/publications").json() == {"total_count": 0, "newest": None, "publications": []}


def test_an_app_reads_its_own_events_only(random_lake: LakeWriter) -> None:
    key = create_key(random_lake.engine, "other", "read")
    with open_client(random_lake.settings) as client:
        client.headers["X-API-Key"] = key
        answer = get(client, "event-distribution", hours_back=168)
    expected = oracle.distribution(random_lake.events, "other", NOW, 168)
    assert expected
    assert [(row["event_type"], row["total_count"]) for row in answer["distribution"]] == expected
