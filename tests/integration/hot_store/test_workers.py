"""The consumer group as it runs: processes over a real broker and a real store, killed, stopped and cut off."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine

from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from local_stack.waiting import wait_until
from storage.control import heartbeats, make_engine
from storage.hot_store.opening import open_hot_store
from storage.hot_store.settings import HotStoreSettings
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings
from streaming.hot_store.records import Record, RecordParser, RejectedRecordError
from streaming.hot_store.source import GroupMembership, KafkaRecordSource
from tests.fixtures.gate import Gate
from tests.fixtures.hot_events import live_record
from tests.integration.hot_store.workers import (
    app_records,
    committed,
    ends,
    group_at_the_end,
    produce,
    running_worker,
)
from tests.integration.ingestion.reading import read_all

pytestmark = pytest.mark.integration
LIMIT = 100_000


@pytest.fixture
def engine(storage_settings: StorageSettings) -> Iterator[Engine]:
    engine = make_engine(storage_settings, pool_size=1)
    yield engine
    engine.dispose()


def ids(store: HotStore, app_id: str) -> list[str]:
    return sorted(event.event_id for event in store.latest(app_id, LIMIT))


@pytest.mark.feature("S2-3")
@pytest.mark.feature("S2-4", "S4-15")
def test_two_workers_share_the_partitions_and_one_killed_leaves_no_gap(
    bootstrap: str, storage_settings: StorageSettings, postgres: HotStore, engine: Engine, app_id: str, group: str
) -> None:
    url = storage_settings.database_url
    sent = app_records(app_id, range(3000))
    with (
        running_worker(bootstrap, url, group, "first") as first,
        running_worker(bootstrap, url, group, "second") as other,
    ):
        wait_until(lambda: first.partitions() == other.partitions() == 2, "two partitions each", 90)
        producing = threading.Thread(target=produce, args=(bootstrap, sent[:1000]))
        producing.start()
        wait_until(lambda: first.handled() > 0, "the first to work", 60)
        first.kill()
        killed_at = time.monotonic()
        producing.join(60)
        produce(bootstrap, sent[1000:])
        wait_until(lambda: other.partitions() == 4, "the other to own all", 60)
        took_seconds = time.monotonic() - killed_at
        wait_until(lambda: len(ids(postgres, app_id)) == 3000, "every event to be there", 60)

        assert took_seconds < 30
        assert ids(postgres, app_id) == [f"e-{number:05}" for number in range(3000)]
        assert other.value("tidemark_hot_store_events_total", operation="write") > 0
        assert other.value("tidemark_hot_store_requests_total", operation="write", outcome="ok") > 0
        assert other.value("tidemark_hot_store_visible_seconds_count") > 0
        wait_until(lambda: other.value("tidemark_hot_store_consumer_lag_records") == 0, "no lag to be left", 30)
        beats = {beat.name: beat.details for beat in heartbeats.read_all(engine)}
        assert beats["second"]["state"] == "running"
        assert beats["second"]["lag"].keys() == {LIVE_TOPIC}, "the group's, as the broker tells it"
    assert committed(bootstrap, group) == ends(bootstrap)


@pytest.mark.feature("S2-3")
def test_a_fifth_worker_idles(bootstrap: str, group: str) -> None:
    membership = GroupMembership(bootstrap, LIVE_TOPIC, group, "member", 100, 6)
    sources = [KafkaRecordSource(membership) for _ in range(5)]
    threads = []
    stopping = threading.Event()

    def poll(source: KafkaRecordSource) -> None:
        while not stopping.is_set():
            source.poll(0.1)

    try:
        threads = [threading.Thread(target=poll, args=(source,)) for source in sources]
        for thread in threads:
            thread.start()
        wait_until(
            lambda: sorted(len(source.assigned()) for source in sources) == [0, 1, 1, 1, 1], "four of five to work", 90
        )
    finally:
        stopping.set()
        for thread in threads:
            thread.join(10)
        for source in sources:
            source.close()


@pytest.mark.feature("S2-7")
def test_a_stopped_worker_is_gone_at_once_and_its_successor_does_nothing_again(
    bootstrap: str, storage_settings: StorageSettings, postgres: HotStore, app_id: str, group: str
) -> None:
    url = storage_settings.database_url
    with running_worker(bootstrap, url, group, TIDEMARK_HOT_STORE_BATCH_MAX_RECORDS="50") as first:
        produce(bootstrap, app_records(app_id, range(4000)))
        wait_until(lambda: first.value("tidemark_hot_store_records_total", outcome="written") > 100, "work", 60)
        first.process.terminate()
        asked_at = time.monotonic()
        assert first.process.wait(30) == 0
        took_seconds = time.monotonic() - asked_at
    assert took_seconds < 10
    done = 4000 - (sum(ends(bootstrap).values()) - sum(committed(bootstrap, group).values()))
    assert 0 < done < 4000, "stopped in the middle"
    assert len(ids(postgres, app_id)) == done

    with running_worker(bootstrap, url, group) as successor:
        wait_until(lambda: committed(bootstrap, group) == ends(bootstrap), "the rest", 60)
        wait_until(lambda: successor.handled() == 4000 - done, "its counts", 10)
        assert successor.value("tidemark_hot_store_records_total", outcome="copy") == 0
    assert len(ids(postgres, app_id)) == 4000


@pytest.mark.feature("S2-16")
def test_the_lag_is_what_no_commit_was_told_of_from_the_first_record_on(
    bootstrap: str, app_id: str, group: str
) -> None:
    # Regression: a partition of which nothing was handled yet did not count.
    source = KafkaRecordSource(GroupMembership(bootstrap, LIVE_TOPIC, group, "member", 10, 6))
    polled: list[Record] = []

    def poll() -> int:
        polled.extend(source.poll(0.2))
        return len(polled)

    try:
        wait_until(lambda: poll() == 0 and len(source.assigned()) == 4, "all partitions", 60)
        produce(bootstrap, app_records(app_id, range(100)))
        wait_until(lambda: poll() > 0, "records", 60)
        source.hold(0.1)
        assert source.lag() == 100, "on hold the broker is asked"

        source.resume()
        wait_until(lambda: poll() == 100, "all records", 60)
        assert source.lag() == 100, "polled is not handled"

        source.commit({record.partition: record.offset + 1 for record in polled if record.partition == 0})
        assert source.lag() == sum(record.partition != 0 for record in polled)
    finally:
        source.close()


@pytest.mark.feature("S2-10")
@pytest.mark.feature("S2-4")
def test_while_the_database_is_away_nothing_is_committed_and_it_heals_without_an_operator(
    bootstrap: str, storage_settings: StorageSettings, postgres: HotStore, app_id: str, group: str
) -> None:
    parts = urlsplit(storage_settings.database_url)
    assert parts.port is not None
    gate = Gate(parts.port)
    url = storage_settings.database_url.replace(f":{parts.port}/", f":{gate.port}/")
    with running_worker(bootstrap, url, group) as worker:
        produce(bootstrap, app_records(app_id, range(100)))
        wait_until(lambda: len(ids(postgres, app_id)) == 100, "the first hundred", 60)
        before = worker.handled()

        gate.shut()
        produce(bootstrap, app_records(app_id, range(100, 200)))
        wait_until(lambda: worker.value("tidemark_hot_store_retries_total", cause="store") >= 3, "tries", 60)
        # Longer than the session timeout: it stays a member, with all its partitions.
        time.sleep(7)
        assert worker.partitions() == 4
        assert worker.handled() == before
        assert sum(ends(bootstrap).values()) - sum(committed(bootstrap, group).values()) == 100
        wait_until(lambda: worker.value("tidemark_hot_store_consumer_lag_records") == 100, "the lag", 30)
        produce(bootstrap, app_records(app_id, range(200, 250)))
        wait_until(lambda: worker.value("tidemark_hot_store_consumer_lag_records") == 150, "the lag to grow", 30)

        gate.open()
        wait_until(lambda: len(ids(postgres, app_id)) == 250, "the rest after the database is back", 60)
        wait_until(lambda: worker.value("tidemark_hot_store_consumer_lag_records") == 0, "no lag to be left", 30)
        wait_until(lambda: committed(bootstrap, group) == ends(bootstrap), "every offset to be committed", 30)
    gate.shut()


@pytest.mark.feature("S2-5")
def test_a_bad_record_is_kept_as_a_pointer_with_its_bytes_and_stops_nothing(
    bootstrap: str, storage_settings: StorageSettings, postgres: HotStore, app_id: str, group: str
) -> None:
    source = {"source": app_id.encode()}
    bad = live_record(0, "bad", key=b"one", value=b'{"a":\xff}', stamps=source)
    unstorable = live_record(0, "nul\0", key=b"one", stamps=source)
    stripped = live_record(0, key=b"one", value=b"{}", headers=(("ce_source", app_id.encode()), ("x", None)))
    good = live_record(0, "good", key=b"one", stamps=source)
    produce(bootstrap, [bad, unstorable, stripped, good])
    with running_worker(bootstrap, storage_settings.database_url, group):
        wait_until(lambda: committed(bootstrap, group) == ends(bootstrap), "every offset to be committed", 60)

    assert ids(postgres, app_id) == ["good"]
    letters = read_all(bootstrap, DEAD_LETTER_TOPIC, lambda record: record.headers.get("ce_dlqgroup") == group)
    own = [letter for letter in letters if letter.headers.get("ce_source") == app_id]
    assert {letter.headers["ce_dlqreason"] for letter in own} == {"invalid_utf8", "unstorable", "missing_header"}
    assert {letter.headers["ce_dlqstage"] for letter in own} == {"consumer"}
    raw = {(record.partition, record.offset): record for record in read_all(bootstrap, LIVE_TOPIC)}
    for letter in own:
        place = int(letter.headers["ce_dlqpartition"]), int(letter.headers["ce_dlqoffset"])
        assert (letter.headers["ce_dlqtopic"], letter.value) == (LIVE_TOPIC, raw[place].value)
        assert letter.key == raw[place].key
        assert raw[place].headers.items() <= letter.headers.items()
        assert letter.headers["ce_dlqerror"]
        assert letter.headers["ce_dlqmessage"]
        assert letter.headers["ce_dlqat"] > letter.headers.get("ce_receivedat", "")


@pytest.mark.feature("S4-17")
@pytest.mark.feature("S2-8")
def test_two_groups_each_read_everything_into_a_store_of_their_own(
    bootstrap: str,
    storage_settings: StorageSettings,
    postgres: HotStore,
    dynamodb_settings: HotStoreSettings,
    app_id: str,
    group: str,
) -> None:
    """The second group is named and placed by the names that other deployments have: KAFKA_CONSUMER_GROUP, DYNAMODB_TABLE, AWS_REGION."""
    url = storage_settings.database_url
    other_group = group_at_the_end(bootstrap, f"{group}-dynamodb")
    table = f"{dynamodb_settings.dynamodb_table}-theirs"
    theirs = {
        "TIDEMARK_HOT_STORE_CONSUMER_GROUP": "",
        "KAFKA_CONSUMER_GROUP": other_group,
        "DYNAMODB_TABLE": table,
        "AWS_REGION": "eu-central-1",
        "TIDEMARK_HOT_STORE_BACKEND": "dynamodb",
        "TIDEMARK_HOT_STORE_DYNAMODB_ENDPOINT_URL": dynamodb_settings.dynamodb_endpoint_url,
    }
    produce(bootstrap, app_records(app_id, range(60)))
    dynamodb = open_hot_store(
        dynamodb_settings.model_copy(update={"dynamodb_table": table}),
        storage_settings.model_copy(update={"aws_region": "eu-central-1"}),
    )
    with running_worker(bootstrap, url, group), running_worker(bootstrap, url, other_group, "theirs", **theirs):
        wait_until(lambda: committed(bootstrap, group) == ends(bootstrap), "the one group", 90)
        wait_until(lambda: committed(bootstrap, other_group) == ends(bootstrap), "the other group", 90)

    expected = [f"e-{number:05}" for number in range(60)]
    assert ids(postgres, app_id) == expected
    assert ids(dynamodb, app_id) == expected
    dynamodb.close()


@pytest.mark.feature("S2-5")
def test_the_hot_store_judges_records_as_landing_does() -> None:
    """The table is the one that landing itself is held to, by real Spark."""
    from tests.integration.streaming.test_poison import TABLE

    parser = RecordParser(date(2015, 1, 1), lambda value: b"{}")
    now = int(datetime.now(UTC).timestamp() * 1000)
    wrong = []
    for poison in TABLE:
        if poison.topic != LIVE_TOPIC:
            continue
        record = live_record(
            0,
            key=poison.key,
            value=poison.value,
            headers=tuple(poison.record_headers or ()),
            timestamp_milliseconds=now,
        )
        try:
            parser.parse(record)
            found = None
        except RejectedRecordError as error:
            found = error.reason.value
        # Landing leaves what only a body can tell to silver; here it is told at once.
        expected = "malformed_json" if poison.name == "not_json_is_for_silver_to_judge" else poison.reason
        if found != expected:
            wrong.append((poison.name, found, expected))
    assert wrong == []
