"""An event for an hour that is published already: that hour, and no other, is published again, and the earlier answer stays."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.stack import Stack, parse_time, wait_until

# Two sensor ticks, a run's start and a build take 25 s on an idle machine; tests share theirs with others.
PUBLISHED_WITHIN_SECONDS = 240


def published_count(stack: Stack, hour: datetime, publication: int | None = None) -> tuple[int, int | None]:
    """Events of the hour of this test's platform, and the publication that says so."""
    answer = stack.get(
        "/api/v1/analytics/events",
        time_window="1hr",
        hours_back=1,
        until=(hour + timedelta(hours=1)).isoformat(),
        event_type="share",
        platform="mobile_web",
        publication=publication,
    )
    return sum(metric["event_count"] for metric in answer["metrics"]), answer["publication"]


@pytest.mark.feature("S0-9", "K3", "K10")
def test_a_late_event_restates_its_hour_and_no_other(running_stack: Stack) -> None:
    stack = running_stack
    hour = (datetime.now(UTC) - timedelta(days=20)).replace(minute=0, second=0, microsecond=0)
    neighbour = hour + timedelta(hours=1)
    body = {"event_type": "share", "platform": "mobile_web"}
    for moment in (hour, neighbour):
        stack.send_event(user_id="early", timestamp=(moment + timedelta(minutes=5)).isoformat(), **body)
    stack.settle()
    count, earlier = published_count(stack, hour)
    assert count == 1
    assert earlier is not None

    stack.send_event(user_id="late", timestamp=(hour + timedelta(minutes=59)).isoformat(), **body)

    started = time.monotonic()
    wait_until(lambda: published_count(stack, hour)[0] == 2, PUBLISHED_WITHIN_SECONDS, "the late event is published")
    print(f"published {time.monotonic() - started:.0f} s after it was sent")
    since = stack.publications_after(earlier)
    restating = [entry for entry in since if hour in map(parse_time, entry["hours"])]
    assert len(restating) == 1
    assert restating[0]["cause"] == "late"
    assert [parse_time(text) for text in restating[0]["hours"]] == [hour]
    assert not any(neighbour in map(parse_time, entry["hours"]) for entry in since)
    assert published_count(stack, hour, publication=earlier) == (1, earlier)
    stack.settle()
    stack.verify()
