"""The hot store in DynamoDB: the table `EventsHot` with the indexes by type, by user and by day, all in order of `timestamp`.

Keys carry the app, so that a list never reads another app's items. A write is a conditional put: the first copy stays, whoever else
writes at the same moment. Items expire by DynamoDB's own TTL; lists do not show what is over already.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ingestion.contracts.clocks import FUTURE_TOLERANCE_SECONDS, format_utc
from storage.hot_store.dynamodb_items import (
    APP_DATE,
    APP_EVENT_TYPE,
    APP_USER_ID,
    EXPIRES_AT,
    KEY,
    TIMESTAMP,
    joined,
    to_event,
    to_item,
    to_key,
    to_position,
)
from storage.hot_store.errors import HotStoreError, StoreUnavailableError, UnstorableError
from storage.hot_store.events import ExpiredDay, HotEvent, HotKey, Position, first_kept_day, start_of
from storage.hot_store.settings import HotStoreSettings

INDEXES = {"event-type-index": APP_EVENT_TYPE, "user-id-index": APP_USER_ID, "date-index": APP_DATE}
_REGION = "us-east-1"  # where nothing says another
TIMEOUT_SECONDS = 3
TABLE_WAIT_SECONDS = 120
_PAGE = 100
_KEY_MAX_BYTES = 2048
_KEYS = {"": [KEY], **{name: [attribute, TIMESTAMP] for name, attribute in INDEXES.items()}}


class DynamoHotStore:
    """See HotStore. Opens a connection at the first use, in the region and with the profile of the object store."""

    def __init__(self, settings: HotStoreSettings, region: str = "", profile: str = "") -> None:
        self._settings = settings
        self._profile = profile or None
        self._region = region or (None if profile else _REGION)
        self._table = settings.dynamodb_table
        self._mutex = threading.Lock()
        self._connected: Any = None
        self._is_prepared = False
        self._executor = ThreadPoolExecutor(settings.dynamodb_connections, thread_name_prefix="dynamodb")

    @property
    def _client(self) -> Any:
        import boto3

        with self._mutex:
            if self._connected is None:
                self._connected = boto3.session.Session(region_name=self._region, profile_name=self._profile).client(
                    "dynamodb",
                    endpoint_url=self._settings.dynamodb_endpoint_url or None,
                    config=Config(
                        connect_timeout=TIMEOUT_SECONDS,
                        read_timeout=TIMEOUT_SECONDS,
                        retries={"mode": "standard", "total_max_attempts": 2},
                        max_pool_connections=self._settings.dynamodb_connections,
                    ),
                )
            return self._connected

    def prepare(self) -> None:
        """Makes the table with its indexes and its TTL, where there is none. A table that is there must have these keys.

        Raises: StoreUnavailableError when it has others: writing to it would refuse every event or mix two kinds of keys.
        """
        with _errors():
            try:
                found = self._client.describe_table(TableName=self._table)["Table"]
            except ClientError as error:
                if _code(error) != "ResourceNotFoundException":
                    raise
                self._create()
                found = self._client.describe_table(TableName=self._table)["Table"]
        if _keys_of(found) != _KEYS:
            raise StoreUnavailableError(
                f"DynamoDB: table {self._table} has the keys {_keys_of(found)}, expected {_KEYS}; name another table "
                "(TIDEMARK_HOT_STORE_DYNAMODB_TABLE), it is made when it is not there"
            )
        with _errors():
            self._expire_items()
        self._is_prepared = True

    def write(self, events: Sequence[HotEvent]) -> int:
        """See HotStore."""
        if not self._is_prepared:
            self.prepare()
        client, keep = self._client, timedelta(days=self._settings.ttl_days + 1)

        def put(event: HotEvent) -> bool:
            expires_at = start_of(event.occurred_at.astimezone(UTC).date()) + keep
            item = to_item(event, int(expires_at.timestamp()))
            with _errors(UnstorableError):
                try:
                    client.put_item(
                        TableName=self._table, Item=item, ConditionExpression=f"attribute_not_exists({KEY})"
                    )
                except ClientError as error:
                    if _code(error) == "ConditionalCheckFailedException":
                        return False
                    raise
            return True

        # All are waited for: none is under way any more when the call ends, whatever became of the first one.
        futures = [self._executor.submit(put, event) for event in events]
        errors = [error for error in (future.exception() for future in futures) if error is not None]
        if errors:
            raise next((error for error in errors if not isinstance(error, UnstorableError)), errors[0])
        return sum(future.result() for future in futures)

    def holds(self, app_id: str, event_id: str) -> bool:
        """See HotStore."""
        key = joined(app_id, event_id)
        if len(key.encode()) > _KEY_MAX_BYTES:
            return False  # no key is that long
        with _errors():
            found = self._client.get_item(
                TableName=self._table, Key={KEY: {"S": key}}, ProjectionExpression=KEY, ConsistentRead=True
            )
        return "Item" in found

    def latest(self, app_id: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore. One query per day until there are enough."""
        now = datetime.now(UTC)
        newest = (now + timedelta(seconds=FUTURE_TOLERANCE_SECONDS)).date()
        day = min(newest, after.occurred_at.astimezone(UTC).date()) if after else newest
        found: list[HotEvent] = []
        while len(found) < limit and day >= first_kept_day(now, self._settings.ttl_days):
            found += self._list("date-index", joined(app_id, day.isoformat()), limit - len(found), after)
            day -= timedelta(days=1)
        return found

    def by_type(self, app_id: str, event_type: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        return self._list("event-type-index", joined(app_id, event_type), limit, after)

    def by_user(self, app_id: str, user_id: str, limit: int, after: Position | None = None) -> list[HotEvent]:
        """See HotStore."""
        return self._list("user-id-index", joined(app_id, user_id), limit, after)

    def keys(self, since: datetime, until: datetime) -> Iterator[HotKey]:
        """See HotStore. Reads the whole table."""
        with _errors():
            pages = self._client.get_paginator("scan").paginate(
                TableName=self._table,
                ConsistentRead=True,
                FilterExpression="#at >= :since and #at < :until",
                ProjectionExpression="app_id, event_id, kafka_partition, kafka_offset, #at",
                ExpressionAttributeNames={"#at": TIMESTAMP},
                ExpressionAttributeValues={":since": {"S": format_utc(since)}, ":until": {"S": format_utc(until)}},
            )
            for page in pages:
                yield from map(to_key, page["Items"])

    def expired(self, before: date) -> list[ExpiredDay]:  # noqa: ARG002 - the protocol's signature
        """None: DynamoDB removes items by itself within days after they have expired."""
        return []

    def expire(self, before: date) -> list[ExpiredDay]:
        """See `expired`."""
        return self.expired(before)

    def close(self) -> None:
        """See HotStore."""
        self._executor.shutdown(cancel_futures=True)
        with self._mutex:
            if self._connected is not None:
                self._connected.close()

    def _list(self, index: str, value: str, limit: int, after: Position | None) -> list[HotEvent]:
        """Newest first. An index does not order items of one moment: they are read to their end and ordered here."""
        if len(value.encode()) > _KEY_MAX_BYTES:
            return []  # no key is that long
        earliest = start_of(first_kept_day(datetime.now(UTC), self._settings.ttl_days))
        if after and after.occurred_at < earliest:
            return []  # what comes then is gone, or hidden until DynamoDB removes it
        upper = format_utc(after.occurred_at) if after else "9999"
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=index,
            KeyConditionExpression="#key = :key and #at between :earliest and :upper",
            ExpressionAttributeNames={"#key": INDEXES[index], "#at": TIMESTAMP},
            ExpressionAttributeValues={
                ":key": {"S": value},
                ":earliest": {"S": format_utc(earliest)},
                ":upper": {"S": upper},
            },
            ScanIndexForward=False,
            PaginationConfig={"PageSize": max(_PAGE, limit + 1)},
        )
        items: list[tuple[Position, dict[str, Any]]] = []
        with _errors():
            for page in pages:
                found = ((to_position(item), item) for item in page["Items"])
                items += [entry for entry in found if after is None or after.is_before(entry[0])]
                if len(items) > limit and items[-1][0].occurred_at < items[limit - 1][0].occurred_at:
                    break
        items.sort(key=lambda entry: entry[0].event_id)
        items.sort(key=lambda entry: entry[0].occurred_at, reverse=True)
        return [to_event(item) for _, item in items[:limit]]

    def _create(self) -> None:
        names = (KEY, TIMESTAMP, *INDEXES.values())
        try:
            self._client.create_table(
                TableName=self._table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
                KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
                GlobalSecondaryIndexes=[
                    {
                        "IndexName": index,
                        "KeySchema": [
                            {"AttributeName": attribute, "KeyType": "HASH"},
                            {"AttributeName": TIMESTAMP, "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "ALL"},
                    }
                    for index, attribute in INDEXES.items()
                ],
            )
        except ClientError as error:
            if _code(error) != "ResourceInUseException":  # another worker makes it at this moment
                raise
        waiter = self._client.get_waiter("table_exists")
        waiter.wait(TableName=self._table, WaiterConfig={"Delay": 1, "MaxAttempts": TABLE_WAIT_SECONDS})

    def _expire_items(self) -> None:
        """Has DynamoDB remove what is over, also where the table was made by another that came no further."""
        found = self._client.describe_time_to_live(TableName=self._table)["TimeToLiveDescription"]
        if found["TimeToLiveStatus"] in ("ENABLED", "ENABLING"):
            return
        try:
            self._client.update_time_to_live(
                TableName=self._table, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRES_AT}
            )
        except ClientError as error:
            if _code(error) != "ValidationException":  # it is on already
                raise


def _keys_of(table: dict[str, Any]) -> dict[str, list[str]]:
    """Names of the keys of the table (under its own name, empty) and of the indexes that are ours."""
    indexes = {index["IndexName"]: index["KeySchema"] for index in table.get("GlobalSecondaryIndexes", ())}
    schemas = {"": table["KeySchema"], **{name: indexes[name] for name in INDEXES if name in indexes}}
    return {name: [key["AttributeName"] for key in schema] for name, schema in schemas.items()}


@contextmanager
def _errors(validation: type[HotStoreError] = StoreUnavailableError) -> Iterator[None]:
    """botocore's errors as ours; `validation`: what a request that is refused for its content means."""
    try:
        yield
    except ClientError as error:
        message = f"DynamoDB: {_code(error)}: {error.response.get('Error', {}).get('Message', '')}"
        raise (validation if _code(error) == "ValidationException" else StoreUnavailableError)(message) from error
    except BotoCoreError as error:
        raise StoreUnavailableError(f"DynamoDB: {error}") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
