"""The network between client and API, API and broker, and consumer and broker: slow, cut, or losing the answers.

Whatever happens, what was acknowledged is in the topic, and each of it once in the hot store. A lost answer makes copies in the topic,
which is allowed, and has to be seen here: else nothing was lost on the way.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from ingestion.contracts import headers
from ingestion.contracts.topics import LIVE_TOPIC
from local_stack.waiting import wait_until
from storage.hot_store.postgres import PostgresHotStore
from storage.settings import StorageSettings
from tests.faults.journal import read_journal
from tests.faults.producer import Mix, VerifiableProducer
from tests.fixtures.gate import Gate
from tests.integration.hot_store.workers import running_worker
from tests.integration.ingestion.processes import KillableBroker, running_api
from tests.integration.ingestion.reading import read_all

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

# Longer than the API's message timeout of 4 s and the consumer's session of 6 s.
OUTAGE_SECONDS = 8.0


def slow(gate: Gate) -> Callable[[], None]:
    gate.delay_seconds = 0.3
    return lambda: setattr(gate, "delay_seconds", 0.0)


def lose_answers(gate: Gate) -> Callable[[], None]:
    gate.is_losing_answers = True

    def heal() -> None:
        gate.is_losing_answers = False
        gate.cut()  # a stream of which a piece is gone makes no sense any more

    return heal


def shut(gate: Gate) -> Callable[[], None]:
    gate.shut()
    return gate.open


FAULTS = (slow, lose_answers, shut)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KillableBroker]:
    broker = KillableBroker(tmp_path / "broker", Gate)
    broker.start()
    yield broker
    broker.kill()
    if broker.gate is not None:
        broker.gate.shut()


@pytest.mark.feature("S0-5", "S2-4", "S4-15")
def test_acknowledged_events_are_there_once_whatever_the_network_does(
    broker: KillableBroker, storage_settings: StorageSettings, tmp_path: Path
) -> None:
    url, group, gate = storage_settings.database_url, f"group-{uuid4().hex}", broker.gate
    assert gate is not None
    with (
        running_api(f"127.0.0.1:{gate.port}", url) as api,
        running_worker(f"127.0.0.1:{gate.port}", url, group),
    ):
        front = Gate(urlsplit(str(api.client.base_url)).port or 0)
        producer = VerifiableProducer(f"http://127.0.0.1:{front.port}", None, tmp_path, seed=1, mix=Mix(200, behind=0))
        producer.start()
        for faulty in (front, gate):
            for fault in FAULTS:
                before = producer.acknowledged_count
                wait_until(lambda before=before: producer.acknowledged_count > before + 100, "the load to run", 60)
                heal = fault(faulty)
                time.sleep(OUTAGE_SECONDS)
                heal()
        producer.finish(60)
        acknowledged = {line["event_id"] for line in read_journal(tmp_path / "receipts.ndjson")}
        tried = {line["event_id"] for line in read_journal(tmp_path / "intents.ndjson")}
        in_topic = Counter(record.headers[headers.EVENT_ID] for record in read_all(broker.bootstrap, LIVE_TOPIC))
        assert acknowledged - in_topic.keys() == set(), "an acknowledged event is lost"
        assert in_topic.keys() - tried == set(), "an event that nobody sent"
        assert producer.retry_count > 0
        wait_until(lambda: held_ids(url).keys() == in_topic.keys(), "the hot store to hold what the topic has", 60)
        front.shut()
    assert set(held_ids(url).values()) == {1}
    assert in_topic.total() > len(read_journal(tmp_path / "intents.ndjson")), (
        "no answer was lost: the faults did nothing"
    )


def held_ids(url: str) -> Counter[str]:
    """Event ids in the hot store, and how often."""
    store, now = PostgresHotStore(url), datetime.now(UTC)
    try:
        return Counter(key.event_id for key in store.keys(now - timedelta(days=3), now + timedelta(days=1)))
    finally:
        store.close()
