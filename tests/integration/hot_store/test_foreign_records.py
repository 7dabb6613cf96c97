"""Records that another producer wrote, as no client of ours does: every reader of the topic gets past them.

On a broker of its own: confluent-kafka, with which tests read, crashes at them.
"""

from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from ingestion.contracts.headers import REDRIVE_OF
from ingestion.contracts.quarantine import Coordinates
from ingestion.contracts.topics import LIVE_TOPIC
from ingestion.redrive.tail import Found, KafkaTail
from local_stack.broker import running_broker
from local_stack.topics import create_topics
from local_stack.waiting import wait_until
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings
from tests.fixtures.foreign_headers import RawName
from tests.integration.hot_store.workers import app_records, committed, ends, produce, running_worker

pytestmark = pytest.mark.integration

COUNT = 3


@pytest.fixture(scope="module")
def foreign_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with three events of one user; the middle one has a header whose name is not UTF-8."""
    with running_broker(tmp_path_factory.mktemp("foreign_broker")) as address:
        create_topics(address)
        origin = str(Coordinates(LIVE_TOPIC, 0, 7)).encode()
        before, odd, after = app_records("app_foreign", range(COUNT), users=1)
        produce(address, [before])
        producer = KafkaProducer(bootstrap_servers=address, acks="all")
        strange = [*odd.headers, (REDRIVE_OF, origin), (RawName(), b"1")]
        producer.send(LIVE_TOPIC, odd.value, odd.key, headers=strange).get(30)
        producer.close()
        produce(address, [after])
        yield address


@pytest.mark.feature("S2-4")
def test_a_header_name_that_is_not_utf_8_is_an_event_like_others_and_stops_no_worker(
    foreign_bootstrap: str, storage_settings: StorageSettings, postgres: HotStore
) -> None:
    # Regression: the worker that met one ended, was started again, and never got past it.
    group = "event-processors-foreign"
    with running_worker(foreign_bootstrap, storage_settings.database_url, group) as worker:
        wait_until(
            lambda: sum(committed(foreign_bootstrap, group).values()) == sum(ends(foreign_bootstrap).values()),
            "every offset to be committed",
            60,
        )
        assert worker.value("tidemark_hot_store_dead_letters_total") == 0
    assert sorted(event.event_id for event in postgres.latest("app_foreign", 10)) == [
        f"e-{number:05}" for number in range(COUNT)
    ]


@pytest.mark.feature("S2-F1")
def test_a_redrive_reads_past_it(foreign_bootstrap: str) -> None:
    # Regression: the process that reads what a killed redrive left crashed in the client's C code.
    tail = KafkaTail(foreign_bootstrap)
    assert sum(tail.ends(LIVE_TOPIC).values()) == COUNT
    recovered = [Found(Coordinates(LIVE_TOPIC, 0, 7), "e-00001")]
    assert list(tail.redriven_since(LIVE_TOPIC, {})) == recovered
    assert list(tail.redriven_since(LIVE_TOPIC, tail.ends(LIVE_TOPIC))) == []
