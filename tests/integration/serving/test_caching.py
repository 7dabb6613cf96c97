"""ETags: equal while the answer is, different as soon as it is not."""

from datetime import datetime, timedelta

import pytest

from local_stack.waiting import wait_until
from tests.fixtures.lake_writer import Event, LakeWriter
from tests.integration.serving.conftest import NOW, open_client

pytestmark = pytest.mark.integration
PATH = "/api/v1/analytics/platforms"
UNTIL = {"until": NOW.isoformat()}


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_a_fixed_range_is_304_until_the_publication_changes(lake: LakeWriter) -> None:
    clock = Clock()
    lake.publish([Event(NOW - timedelta(hours=2))])
    with open_client(lake.settings, now=clock) as client:
        first = client.get(PATH, params=UNTIL)
        copy = {"If-None-Match": first.headers["etag"]}
        clock.now += timedelta(hours=5)
        same = client.get(PATH, params=UNTIL, headers=copy)
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
        assert client.get(PATH, params=UNTIL).json() == first.json()
        # An event outside the range makes a new publication: another answer, because it names it.
        lake.publish([Event(NOW + timedelta(hours=1))])
        wait_until(lambda: client.get(PATH, params=UNTIL, headers=copy).status_code == 200, "the new publication", 30)
        changed = client.get(PATH, params=UNTIL, headers=copy)
        assert (changed.json()["publication"], changed.json()["platforms"]) == (2, first.json()["platforms"])
        pinned = client.get(PATH, params={**UNTIL, "publication": 1}, headers=copy)
        assert pinned.status_code == 304


def test_a_moving_range_is_304_only_while_its_numbers_stay(lake: LakeWriter) -> None:
    clock = Clock()
    lake.publish(
        [Event(NOW - timedelta(minutes=50), platform="web"), Event(NOW - timedelta(minutes=10), platform="ios")]
    )
    with open_client(lake.settings, now=clock) as client:
        first = client.get(PATH, params={"hours_back": 1})
        copy = {"If-None-Match": first.headers["etag"]}
        assert len(first.json()["platforms"]) == 2
        clock.now = NOW + timedelta(minutes=9)
        assert client.get(PATH, params={"hours_back": 1}, headers=copy).status_code == 304
        clock.now = NOW + timedelta(minutes=11)
        moved = client.get(PATH, params={"hours_back": 1}, headers=copy)
        assert (moved.status_code, len(moved.json()["platforms"])) == (200, 1)


def test_etags_differ_by_endpoint_parameters_and_app(lake: LakeWriter) -> None:
    lake.publish([Event(NOW - timedelta(hours=2))])
    with open_client(lake.settings) as client:
        tags = [
            client.get(f"/api/v1/analytics/{name}", params={**UNTIL, **parameters}).headers["etag"]
            for name in ("events", "users", "top-users", "event-distribution", "platforms")
            for parameters in ({}, {"hours_back": "3"})
        ]
        spelled_out = client.get("/api/v1/analytics/users", params={**UNTIL, "hours_back": "24", "app_id": "public"})
    assert len(set(tags)) == len(tags)
    assert spelled_out.headers["etag"] in tags


def test_answers_are_private_and_must_be_revalidated(lake: LakeWriter) -> None:
    with open_client(lake.settings) as client:
        headers = client.get(PATH).headers
    assert headers["cache-control"] == "private, no-cache"
    assert headers["vary"] == "Authorization, X-API-Key"
