"""Publications as readers see them: listed, answered as of, seen soon, never back, and gone with a hint when expired."""

import io
import time
from datetime import datetime, timedelta

import httpx
import pytest
import structlog

from local_stack.waiting import wait_until
from tests.fixtures.lake_writer import Event, LakeWriter
from tests.integration.serving import oracle
from tests.integration.serving.conftest import NOW, open_client

pytestmark = pytest.mark.integration
ANALYTICS = ("events", "users", "top-users", "event-distribution", "platforms")


def total(client: httpx.Client, **parameters: int) -> tuple[int | None, int]:
    """The publication that answered and the events that it counts."""
    answer = client.get("/api/v1/analytics/event-distribution", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()["publication"], answer.json()["total_events"]


@pytest.mark.feature("K10")
def test_every_endpoint_answers_as_of_an_earlier_publication(lake: LakeWriter) -> None:
    lake.publish([Event(NOW - timedelta(hours=2), user_id="first")], published_at=NOW - timedelta(hours=1))
    lake.publish([Event(NOW - timedelta(hours=2), user_id="late")], cause="late", published_at=NOW)
    with open_client(lake.settings) as client:
        for name in ANALYTICS:
            old, new = (client.get(f"/api/v1/analytics/{name}", params=p).json() for p in ({"publication": 1}, {}))
            assert (old["publication"], new["publication"]) == (1, 2)
            assert (datetime.fromisoformat(old["as_of"]), datetime.fromisoformat(new["as_of"])) == (
                NOW - timedelta(hours=1),
                NOW,
            )
        assert (total(client, publication=1), total(client)) == ((1, 1), (2, 2))


@pytest.mark.feature("K10")
def test_publications_are_listed_newest_first_in_pages(lake: LakeWriter) -> None:
    made = [lake.publish([Event(NOW - timedelta(hours=n))], published_at=NOW) for n in range(3)]
    with open_client(lake.settings) as client:
        page = client.get("/api/v1/publications", params={"limit": 2}).json()
        rest = client.get("/api/v1/publications", params={"before": page["publications"][-1]["id"]}).json()
    assert [entry["id"] for entry in page["publications"] + rest["publications"]] == [3, 2, 1]
    assert (page["total_count"], page["newest"], rest["total_count"]) == (2, 3, 1)
    entry = page["publications"][0]
    assert set(entry) == {"id", "cause", "hours", "run", "base", "published_at", "snapshot", "changes"}
    assert (entry["base"], entry["cause"], entry["snapshot"]) == (2, "arrival", made[-1].snapshot_id)
    assert len(entry["hours"]) == 24
    assert entry["changes"]["silver.events"] == {"added": 1, "removed": 0}


@pytest.mark.feature("K10")
def test_a_new_publication_is_seen_within_a_second(lake: LakeWriter) -> None:
    with open_client(lake.settings, poll_seconds=0.25) as client:
        total(client)
        lake.publish([Event(NOW - timedelta(minutes=5))])
        committed = time.monotonic()
        while total(client) != (1, 1):
            assert time.monotonic() - committed < 5, "not seen"
        # 1 s is the promise; a loaded test machine gets a margin.
        assert time.monotonic() - committed < 2


def test_an_unknown_publication_is_404(lake: LakeWriter) -> None:
    with open_client(lake.settings) as client:
        for wanted in (1, 99, 2**63 - 1):
            answer = client.get("/api/v1/analytics/users", params={"publication": wanted})
            assert answer.status_code == 404
            assert answer.json()["type"] == "urn:tidemark:problem:unknown-publication"


@pytest.mark.feature("K10")
@pytest.mark.parametrize("was_open", [False, True])
def test_an_expired_publication_is_410_and_names_the_nearest_kept(lake: LakeWriter, was_open: bool) -> None:
    made = [lake.publish([Event(NOW - timedelta(minutes=n + 1))]) for n in range(4)]
    with open_client(lake.settings) as client:
        if was_open:
            assert total(client, publication=2) == (2, 2)
        lake.expire(made[1].snapshot_id)
        answer = client.get("/api/v1/analytics/platforms", params={"publication": 2})
        assert answer.status_code == 410
        problem = answer.json()
        assert (problem["publication"], problem["nearest_publication"]) == (2, 3)
        assert total(client, publication=3) == (3, 3)


def test_more_publications_than_stay_open_all_answer(lake: LakeWriter) -> None:
    for n in range(6):
        lake.publish([Event(NOW - timedelta(minutes=n + 1))])
    with open_client(lake.settings, attached_snapshots=2) as client:
        for wanted in (1, 2, 3, 4, 5, 6, 1, 6, 3):
            assert total(client, publication=wanted) == (wanted, wanted)
        assert 6 in client.open_publications
        assert len(client.open_publications) <= 2


@pytest.mark.feature("K6")
def test_an_earlier_publication_keeps_its_numbers_whatever_is_published_later(lake: LakeWriter) -> None:
    for n in range(3):
        lake.publish([Event(NOW - timedelta(minutes=7 * k + n), user_id=f"u{n}") for k in range(5)])
    with open_client(lake.settings) as client:
        for wanted in (1, 2, 3):
            rows = client.get("/api/v1/analytics/users", params={"publication": wanted}).json()["users"]
            assert rows == oracle.users(lake.events[: 5 * wanted], "public", NOW)


def test_a_log_that_cannot_be_written_does_not_end_the_watch(lake: LakeWriter) -> None:
    lake.publish([Event(NOW - timedelta(hours=2))])
    with open_client(lake.settings) as client:
        assert total(client) == (1, 1)
        closed = io.StringIO()
        closed.close()
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(closed))
        for publication in (2, 3):
            lake.publish([Event(NOW - timedelta(hours=2), user_id=f"user-{publication}")])
            wait_until(
                lambda wanted=publication: client.get("/health").json()["publication"] == wanted, "it to be seen", 30
            )
