"""What every hot store must do, asked of all three: PostgreSQL, DynamoDB, and the one in memory that unit tests use."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.hot_store.dynamodb import INDEXES, DynamoHotStore
from storage.hot_store.errors import StoreUnavailableError, UnstorableError
from storage.hot_store.events import HotEvent, HotKey, Position, start_of
from storage.hot_store.opening import open_hot_store
from storage.hot_store.postgres import PostgresHotStore
from storage.hot_store.settings import HotStoreSettings
from storage.hot_store.store import HotStore
from storage.settings import StorageSettings
from tests.fixtures.hot_events import hot_event
from tests.fixtures.revisions import downgrade_below

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)


def at(seconds_ago: float, event_id: str, **changes: Any) -> HotEvent:
    return hot_event(event_id, occurred_at=NOW - timedelta(seconds=seconds_ago), **changes)


def names(events: list[HotEvent]) -> list[str]:
    return [event.event_id for event in events]


def all_pages(read: Callable[[Position | None], list[HotEvent]]) -> list[HotEvent]:
    found: list[HotEvent] = []
    while page := read(found[-1].position if found else None):
        found += page
    return found


@pytest.mark.feature("S2-6")
def test_copies_are_written_once_and_the_first_stays(store: HotStore) -> None:
    first = [at(1, "a"), at(2, "b")]
    assert store.write(first) == 2
    assert store.write(first) == 0

    # Sent again without a time of its own, on another day: still the same key.
    later = [at(0, "a", user_id="eve"), at(-2 * 86_400, "b"), at(3, "c")]
    assert store.write(later) == 1

    assert names(store.latest("app", 10)) == ["a", "b", "c"]
    assert store.by_user("app", "eve", 10) == []


@pytest.mark.feature("S2-6")
def test_a_store_tells_which_events_it_holds(store: HotStore) -> None:
    store.write([at(1, "a"), at(3 * 86_400, "old"), at(1, "theirs", app_id="other")])

    found = [key for key in ("a", "old", "theirs", "never", "nul\0", "x" * 3000) if store.holds("app", key)]

    assert found == ["a", "old"]


@pytest.mark.feature("S2-6")
def test_the_same_events_written_by_many_at_once_are_there_once(store: HotStore) -> None:
    """Each writer has the events in another order, and times of its own as retries of a client would."""
    barrier, written = threading.Barrier(4), []

    def write(number: int) -> None:
        events = [at(number * 40_000 + index, f"e-{index:03}") for index in range(30)]
        barrier.wait()
        written.append(store.write(events if number % 2 else events[::-1]))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sum(written) == 30
    assert sorted(names(store.latest("app", 1000))) == [f"e-{index:03}" for index in range(30)]


@pytest.mark.feature("S2-8")
def test_lists_are_newest_first_with_ties_by_id_and_pages_leave_nothing_out(store: HotStore) -> None:
    events = [
        at(seconds, f"{kind}-{user}-{seconds}-{tie}", event_type=kind, user_id=user)
        for seconds in (0, 1, 100_000)
        for kind in ("click", "view")
        for user in ("ada", "bob")
        for tie in range(2)
    ]
    store.write(events[::2])
    store.write(events[1::2])
    store.write([at(0, "foreign", app_id="other")])
    by_id = sorted(events, key=lambda event: event.event_id)
    expected = sorted(by_id, key=lambda event: event.occurred_at, reverse=True)

    assert names(store.latest("app", 100)) == names(expected)
    assert names(store.latest("other", 100)) == ["foreign"]
    clicks = [event for event in expected if event.event_type == "click"]
    assert names(store.by_type("app", "click", 5)) == names(clicks[:5])
    bobs = [event for event in expected if event.user_id == "bob"]
    assert names(store.by_user("app", "bob", 100)) == names(bobs)
    assert names(all_pages(lambda after: store.latest("app", 5, after))) == names(expected)
    assert names(all_pages(lambda after: store.by_type("app", "click", 5, after))) == names(clicks)
    assert names(all_pages(lambda after: store.by_user("app", "bob", 5, after))) == names(bobs)
    assert store.by_type("app", "nothing", 5) == []
    assert store.by_user("app", "nul\0", 5) == []


@pytest.mark.feature("S2-8")
def test_an_event_is_read_as_it_was_written(store: HotStore) -> None:
    payload = {
        "event_id": "e",
        "text": "Zoë \u2028 \U0001f600 '\"\\ %s :x",
        "empty": "",
        "list": [1, "2", None, True, {"deep": [[]]}],
        "small": 1e-7,
        "price": 19.99,
        "sum": 0.1 + 0.2,
        "int": 2**63 - 1,
        "negative": -0.5,
    }
    event = at(1, "e/ü %", body=json.dumps(payload).encode(), kafka_partition=3, kafka_offset=2**40)
    store.write([event])

    [found] = store.latest("app", 1)
    assert json.loads(found.body) == payload
    assert (found.occurred_at, found.received_at) == (event.occurred_at, event.received_at)
    assert (found.kafka_partition, found.kafka_offset, found.contract) == (3, 2**40, "engagement/1")


@pytest.mark.feature("S2-5")
def test_no_number_shape_or_character_makes_an_event_unstorable(store: HotStore) -> None:
    texts = {
        "large": '{"a":1e300}',
        "tiny": '{"a":1e-200}',
        "long": '{"a":1.2345678901234567890123456789012345678901234567890}',
        "empty_key": '{"":1}',
        "deep": '{"a":' * 60 + "1" + "}" * 60,
        "nul": '{"a":"\\u0000"}',
        "surrogate": '{"a":"\\ud800"}',
        "empty": "{}",
        "zeros": '{"a":-0.0,"b":1.0,"c":100E+2}',
    }
    assert store.write([at(1, name, body=text.encode()) for name, text in texts.items()]) == len(texts)

    found = {event.event_id: json.loads(event.body) for event in store.latest("app", 100)}
    assert found == {name: json.loads(text) for name, text in texts.items()}


def test_what_can_never_be_stored_is_told_from_a_store_that_is_away(storage_settings: StorageSettings) -> None:
    store = PostgresHotStore(storage_settings.database_url)
    for bad in (at(1, "nul\0id"), at(1, "x" * 9000, user_id="".join(map(chr, range(200, 5000))))):
        with pytest.raises(UnstorableError):
            store.write([at(1, "good"), bad])
    assert store.latest("app", 10) == []
    store.close()

    away = PostgresHotStore("postgresql://tidemark@127.0.0.1:1/nothing")
    for call in (lambda: away.write([at(1, "e")]), lambda: away.latest("app", 1), away.prepare):
        with pytest.raises(StoreUnavailableError):
            call()


def test_an_item_too_large_for_dynamodb_is_told_and_leaves_the_others(dynamodb_settings: HotStoreSettings) -> None:
    store = DynamoHotStore(dynamodb_settings)
    store.prepare()
    with pytest.raises(UnstorableError):
        store.write([at(1, "good"), at(1, "large", body=json.dumps({"a": "x" * 500_000}).encode())])
    assert names(store.latest("app", 10)) == ["good"]
    store.close()

    away = DynamoHotStore(dynamodb_settings.model_copy(update={"dynamodb_endpoint_url": "http://127.0.0.1:1"}))
    with pytest.raises(StoreUnavailableError):
        away.write([at(1, "e")])
    with pytest.raises(StoreUnavailableError):
        away.latest("app", 1)


def test_keys_are_those_of_the_time_asked_for(store: HotStore) -> None:
    store.write([at(10, "in", kafka_partition=2, kafka_offset=5), at(20, "edge"), at(9, "end"), at(30, "out")])

    found = list(store.keys(NOW - timedelta(seconds=20), NOW - timedelta(seconds=9)))

    assert sorted(found, key=lambda key: key.event_id) == [
        HotKey("app", "edge", 0, 0, NOW - timedelta(seconds=20)),
        HotKey("app", "in", 2, 5, NOW - timedelta(seconds=10)),
    ]


@pytest.mark.parametrize("store", ["memory", "postgres"], indirect=True)
def test_retention_drops_whole_days_and_tells_what_it_would_drop_first(store: HotStore) -> None:
    today = NOW.date()
    store.write([at(0, "new"), at(5 * 86_400, "five"), at(5 * 86_400, "five too"), at(9 * 86_400, "nine")])

    planned = store.expired(today - timedelta(days=4))
    assert [(item.day, item.event_count) for item in planned if item.event_count] == [
        (today - timedelta(days=9), 1),
        (today - timedelta(days=5), 2),
    ]
    assert names(store.latest("app", 10)) == ["new", "five", "five too", "nine"]
    assert store.expire(today - timedelta(days=4)) == planned
    assert store.expire(today - timedelta(days=4)) == []
    assert names(store.latest("app", 10)) == ["new"]

    # A writer that knew the day writes to it all the same, and loses nothing.
    assert store.write([at(5 * 86_400, "again")]) == 1


@pytest.mark.feature("S2-8")
def test_dynamodb_has_the_documented_table_and_its_ttl(
    dynamodb_settings: HotStoreSettings, storage_settings: StorageSettings
) -> None:
    import boto3

    store = open_hot_store(dynamodb_settings, storage_settings)
    store.prepare()
    store.prepare()
    store.write([at(0, "e")])
    client = boto3.client("dynamodb", "us-east-1", endpoint_url=dynamodb_settings.dynamodb_endpoint_url)
    name = dynamodb_settings.dynamodb_table

    table = client.describe_table(TableName=name)["Table"]
    ranges = {
        index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]]
        for index in table["GlobalSecondaryIndexes"]
    }
    assert ranges == {index: [attribute, "timestamp"] for index, attribute in INDEXES.items()}
    assert {"event-type-index", "user-id-index"} <= set(ranges)
    off = {"Enabled": False, "AttributeName": "expires_at"}
    for _ in range(2):
        ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expires_at")
        # Regression: only the call that made the table switched it on.
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=off)
        store.prepare()
    over = Position(NOW - timedelta(days=dynamodb_settings.ttl_days + 9), "e")
    assert store.by_user("app", "ada", 5, over) == [], "there is nothing behind what is kept"
    [item] = client.scan(TableName=name)["Items"]
    last = start_of(NOW.date()) + timedelta(days=dynamodb_settings.ttl_days + 1)
    assert item["expires_at"] == {"N": str(int(last.timestamp()))}
    assert item["payload"]["M"]["platform"] == {"S": "web"}
    assert store.by_user("app", "x" * 3000, 5) == []
    store.close()

    foreign = f"{name}-of-others"
    client.create_table(
        TableName=foreign,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "event_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "event_id", "KeyType": "HASH"}],
    )
    other = DynamoHotStore(dynamodb_settings.model_copy(update={"dynamodb_table": foreign}))
    with pytest.raises(StoreUnavailableError, match="name another table"):
        other.write([at(0, "e")])
    assert client.scan(TableName=foreign)["Items"] == []
    other.close()


@pytest.mark.feature("S2-8")
def test_every_list_is_read_from_an_index(storage_settings: StorageSettings) -> None:
    """The plans of the lists name no sequential scan, also where the planner would be free to choose one."""
    import sqlalchemy as sa

    from storage.control import make_engine

    store = PostgresHotStore(storage_settings.database_url)
    for day in range(4):
        store.write([at(day * 86_400 + index, f"e-{day}-{index}", user_id=f"u{index % 50}") for index in range(1500)])
    store.close()
    engine = make_engine(storage_settings, pool_size=1)
    after = Position(NOW, "x")
    with engine.connect() as connection:
        connection.execute(sa.text("analyze hot.events"))
        for where in ("", " and event_type = 'click'", " and user_id = 'u7'"):
            query = (
                f"explain select * from hot.events where app_id = 'app'{where} and occurred_at <= :at"
                " and (occurred_at < :at or event_id > :id) order by occurred_at desc, event_id limit 10"
            )
            plan = "\n".join(
                connection.execute(sa.text(query), {"at": after.occurred_at, "id": after.event_id}).scalars()
            )
            assert "Index Scan" in plan, plan
            assert "Seq Scan" not in plan, plan
            assert "Sort Key: events" not in plan or "Incremental" in plan or "Merge Append" in plan, plan
    engine.dispose()


def test_the_migration_goes_down_and_up_again(storage_settings: StorageSettings) -> None:
    from storage.control import migrate

    store = PostgresHotStore(storage_settings.database_url)
    store.write([at(0, "e")])
    downgrade_below(storage_settings, "hot_store")
    with pytest.raises(StoreUnavailableError):
        store.latest("app", 1)
    migrate(storage_settings)
    assert store.write([at(0, "e")]) == 1
    store.close()
