"""Hot against bronze: equal says so, and each way of differing is found and named.

Bronze, store and the dead letters' topic are real, the group's offsets given.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from ingestion.contracts.reasons import Reason
from ingestion.contracts.validation import Rejection
from ingestion.sinks.kafka import KafkaSink, KafkaSinkSettings
from ingestion.sinks.records import Stamper
from ingestion.sinks.sink import Batch
from storage.control import make_engine
from storage.hot_store.group_offsets import GroupOffsets
from storage.hot_store.reconciliation import Reconciliation, reconcile
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings
from streaming.hot_store.dead_letters import DeadLetter, KafkaDeadLetters, letter_headers
from tests.fixtures.bronze_rows import (
    DEAD_LETTER_TOPIC,
    IMPORT_TOPIC,
    LIVE_TOPIC,
    BronzeRow,
    engagement_row,
    write_bronze,
)
from tests.fixtures.hot_events import hot_event, live_record
from tests.integration.hot_store.landing import write_with_headers

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class GivenOffsets(GroupOffsets):
    """A group's offsets as a test says."""

    passed: dict[int, int] = field(default_factory=dict)

    def committed(self) -> dict[int, int]:
        return self.passed


@pytest.fixture
def group(bootstrap: str) -> GivenOffsets:
    """A group of this test, which has passed nothing."""
    return GivenOffsets(bootstrap, f"event-processors-{uuid4().hex[:8]}")


def compare(storage: StorageSettings, store: HotStore, group: GivenOffsets, passed: int) -> Reconciliation:
    return reconcile(storage, store, replace(group, passed={0: passed}), ttl_days=7, now=NOW)


def landed(offset: int, event_id: str | None = None, seconds_ago: float = 60, **changes: Any) -> BronzeRow:
    return engagement_row(offset, NOW - timedelta(seconds=seconds_ago), event_id, app_id="app", **changes)


def hot(offset: int, event_id: str | None = None, seconds_ago: float = 60) -> Any:
    return hot_event(event_id or f"e{offset}", occurred_at=NOW - timedelta(seconds=seconds_ago), kafka_offset=offset)


@pytest.mark.feature("S2-10")
def test_before_anything_has_landed_nothing_differs(
    storage_settings: StorageSettings, postgres: HotStore, group: GivenOffsets
) -> None:
    assert compare(storage_settings, postgres, group, 0).ok
    postgres.write([hot(0)])
    found = compare(storage_settings, postgres, group, 1)
    assert found.ok, "its record has not landed yet"
    assert (found.hot_count, found.bronze_count) == (1, 0)


@pytest.mark.feature("S2-10")
def test_equal_sides_are_equal_whatever_is_under_way(
    storage_settings: StorageSettings, postgres: HotStore, group: GivenOffsets
) -> None:
    days = 86_400
    write_bronze(
        storage_settings.bronze_uri,
        [
            landed(0),
            landed(1, "e0", seconds_ago=30),  # a copy
            landed(2, rejection_reason="invalid_utf8"),
            landed(3, "import", kafka_topic=IMPORT_TOPIC),
            landed(4, seconds_ago=9 * days),  # older than what is kept
            landed(5),
            landed(6),  # the group has not come so far
        ],
    )
    postgres.write([hot(0), hot(5), hot(9, "not landed"), hot(4, seconds_ago=9 * days)])

    found = compare(storage_settings, postgres, group, 6)

    assert found.ok, found
    assert (found.hot_count, found.bronze_count, found.missing, found.unfounded) == (3, 3, (), ())


@pytest.mark.feature("S2-10")
def test_what_is_missing_and_what_is_unfounded_is_named(
    storage_settings: StorageSettings, postgres: HotStore, group: GivenOffsets
) -> None:
    rows = [landed(offset) for offset in range(40)] + [landed(40, rejection_reason="null_key")]
    write_bronze(storage_settings.bronze_uri, rows)
    postgres.write([hot(offset) for offset in range(10)] + [hot(40), hot(39, "never sent")])

    found = compare(storage_settings, postgres, group, 41)

    assert not found.ok
    assert (found.missing_count, found.unfounded_count) == (30, 2)
    assert found.missing[:2] == ("app/e10", "app/e11")
    assert len(found.missing) == 20
    assert found.unfounded == ("app/e40", "app/never sent")


@pytest.mark.feature("S2-10")
def test_a_key_that_is_there_twice_is_named(
    storage_settings: StorageSettings, postgres: HotStore, group: GivenOffsets
) -> None:
    # Regression: under another time a key may be there again as far as PostgreSQL's index is concerned, and nothing looked for it.
    write_bronze(storage_settings.bronze_uri, [landed(0), landed(1)])
    postgres.write([hot(0), hot(1)])
    assert compare(storage_settings, postgres, group, 2).ok
    engine = make_engine(storage_settings, pool_size=1)
    with engine.begin() as connection:
        columns = "app_id, event_type, user_id, received_at, contract, body, kafka_partition, kafka_offset"
        connection.exec_driver_sql(
            f"insert into hot.events (event_id, occurred_at, {columns}) "
            f"select event_id, occurred_at - interval '1 second', {columns} from hot.events where event_id = 'e1'"
        )
    engine.dispose()
    found = compare(storage_settings, postgres, group, 2)
    assert (found.ok, found.doubled_count, found.doubled) == (False, 1, ("app/e1",))


@pytest.mark.feature("S2-10")
@pytest.mark.feature("S2-5")
def test_a_dead_letter_of_the_group_explains_what_is_missing(
    storage_settings: StorageSettings, postgres: HotStore, group: GivenOffsets
) -> None:
    write_bronze(storage_settings.bronze_uri, [landed(0), landed(1)])
    postgres.write([hot(0)])
    assert compare(storage_settings, postgres, group, 2).missing == ("app/e1",)

    letter = BronzeRow(0, b"{}", None, None, None, None, "app", kafka_topic=DEAD_LETTER_TOPIC, dlq_stage="consumer")
    for name, is_ok in (("others", False), (group.name, True)):
        pointer = DeadLetter(live_record(1), Reason.UNSTORABLE, "UnstorableError", "refused", NOW)
        write_with_headers(storage_settings.bronze_uri, letter, letter_headers(pointer, name))
        found = compare(storage_settings, postgres, group, 2)
        assert (found.ok, found.missing_count, found.excused_count) == (is_ok, not is_ok, is_ok)
    assert found.excused == ("app/e1",)

    postgres.write([hot(1)])
    assert compare(storage_settings, postgres, group, 2).excused_count == 0, "it is there by now"


@pytest.mark.feature("S2-10")
@pytest.mark.feature("S2-5")
def test_a_letter_that_has_not_landed_excuses_its_own_record_only(
    storage_settings: StorageSettings, postgres: HotStore, group: GivenOffsets
) -> None:
    # Regression: what waited on the dead-letter topic was counted, so that any three rejects of the edge hid three lost events.
    write_bronze(storage_settings.bronze_uri, [landed(offset) for offset in range(3)])
    postgres.write([hot(0)])
    reject(group, count=3)
    assert compare(storage_settings, postgres, group, 3).missing == ("app/e1", "app/e2")

    letters = KafkaDeadLetters(group.bootstrap_servers, DEAD_LETTER_TOPIC, group.name)
    for _ in range(2):  # twice, as after a crash before the commit
        letters.send([DeadLetter(live_record(1), Reason.HANDLER_FAILED, "ValueError", "a bug", NOW)])
    letters.close()
    found = compare(storage_settings, postgres, group, 3)

    assert not found.ok
    assert (found.missing, found.excused) == (("app/e2",), ("app/e1",))


@pytest.mark.feature("S2-10")
def test_a_letter_of_one_copy_does_not_excuse_that_another_is_lost(
    storage_settings: StorageSettings, postgres: HotStore, group: GivenOffsets
) -> None:
    write_bronze(storage_settings.bronze_uri, [landed(0, "twin"), landed(1, "twin", seconds_ago=30)])
    letters = KafkaDeadLetters(group.bootstrap_servers, DEAD_LETTER_TOPIC, group.name)
    letters.send([DeadLetter(live_record(0), Reason.HANDLER_FAILED, "ValueError", "a bug", NOW)])
    letters.close()

    assert compare(storage_settings, postgres, group, 1).ok, "the other copy is under way"
    assert compare(storage_settings, postgres, group, 2).missing == ("app/twin",)
    postgres.write([hot(1, "twin", seconds_ago=30)])
    assert compare(storage_settings, postgres, group, 2).ok


def reject(group: GivenOffsets, count: int) -> None:
    """Bodies that the edge rejects, as it writes them."""
    stamper = Stamper("app", NOW, topic=LIVE_TOPIC, dead_letter_topic=DEAD_LETTER_TOPIC)
    letters = [stamper.dead_letter(b"{", Rejection(Reason.MALFORMED_JSON, "no JSON")) for _ in range(count)]
    sink = KafkaSink(KafkaSinkSettings(group.bootstrap_servers, LIVE_TOPIC, message_timeout_seconds=30.0))
    assert not sink.submit(Batch.of(letters)).result(60).failed
    sink.close(10)
