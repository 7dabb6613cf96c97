"""A broker that dies under load: 503 and nothing acknowledged that is not there; afterwards everything goes on by itself."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from ingestion.contracts.topics import LIVE_TOPIC
from local_stack.waiting import wait_until
from storage.settings import StorageSettings
from tests.integration.ingestion.processes import ApiProcess, KillableBroker, running_api
from tests.integration.ingestion.reading import read_all
from tests.unit.ingestion.builders import encode, engagement, product

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KillableBroker]:
    broker = KillableBroker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.kill()


class _Load(threading.Thread):
    """Sends batches, again until acknowledged, and remembers what was acknowledged."""

    def __init__(self, api: ApiProcess) -> None:
        super().__init__(daemon=True)
        self._api = api
        self.acknowledged: list[str] = []
        self.statuses: list[int] = []
        self.is_stopping = False

    def run(self) -> None:
        while not self.is_stopping:
            ids = [str(uuid4()) for _ in range(200)]
            body = b"\n".join(encode(engagement(event_id=event_id, user_id=event_id[:2])) for event_id in ids)
            while not self.is_stopping:
                answer = self._api.client.post("/v1/batch", content=body)
                self.statuses.append(answer.status_code)
                if answer.status_code == 202:
                    refused = {error["index"] for error in answer.json()["errors"]}
                    self.acknowledged += [event_id for index, event_id in enumerate(ids) if index not in refused]
                    break
                assert answer.status_code == 503, answer.text
                assert answer.json()["retryable"] is True
                assert "retry-after" in answer.headers
                time.sleep(0.1)


@pytest.mark.feature("S0-5")
@pytest.mark.feature("S0-6")
def test_a_killed_broker_loses_nothing_that_was_acknowledged(
    broker: KillableBroker, storage_settings: StorageSettings
) -> None:
    with running_api(broker.bootstrap, storage_settings.database_url) as api:
        load = _Load(api)
        load.start()
        wait_until(lambda: len(load.acknowledged) > 2000, "load to run", 60)

        broker.kill()
        killed_at = time.monotonic()
        wait_until(lambda: not api.is_healthy(), "/health to turn", 10)
        assert time.monotonic() - killed_at < 10
        assert api.client.get("/health").json()["status"] == "unhealthy"
        wait_until(lambda: 503 in load.statuses, "the load to see 503", 15)
        during_outage = len(load.acknowledged)
        time.sleep(1)
        assert len(load.acknowledged) == during_outage

        broker.start()
        wait_until(api.is_healthy, "/health to turn back", 60)
        wait_until(lambda: len(load.acknowledged) > during_outage + 2000, "the load to go on", 60)
        load.is_stopping = True
        load.join(30)
        in_kafka = {record.headers["ce_id"] for record in read_all(broker.bootstrap, LIVE_TOPIC)}
        assert set(load.acknowledged) <= in_kafka
        assert len(set(load.acknowledged)) == len(load.acknowledged)


@pytest.mark.feature("S1-3")
def test_without_a_broker_single_events_are_refused_within_the_time_limit(
    broker: KillableBroker, storage_settings: StorageSettings
) -> None:
    with running_api(broker.bootstrap, storage_settings.database_url) as api:
        broker.kill()
        for path, event in (("/events", product()), ("/api/v1/events", engagement())):
            started = time.monotonic()
            answer: httpx.Response = api.client.post(path, json=event)
            assert (answer.status_code, answer.json()["retryable"]) == (503, True)
            assert time.monotonic() - started < 8
