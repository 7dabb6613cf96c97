"""Hot events as items of DynamoDB and back. Pure.

JSON numbers become DynamoDB's decimals digit for digit. What a DynamoDB map cannot hold exactly (more than 38 digits, exponents beyond
125, 32 levels, a key without a character, half a surrogate pair) is kept as JSON text instead: nothing is ever rounded, or refused for its
numbers.
"""

import json
from datetime import datetime
from decimal import Context, Decimal, DecimalException
from typing import Any

import msgspec
from boto3.dynamodb.types import DYNAMODB_CONTEXT, TypeDeserializer, TypeSerializer

from ingestion.contracts.clocks import format_utc
from storage.hot_store.events import HotEvent, HotKey, Position

KEY = "event_key"
TIMESTAMP = "timestamp"
EXPIRES_AT = "expires_at"
APP_DATE = "app_date"
APP_EVENT_TYPE = "app_event_type"
APP_USER_ID = "app_user_id"
MAX_DEPTH = 30  # DynamoDB's limit is 32, the item itself is one

_exact: Context = DYNAMODB_CONTEXT
_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize
_encode = msgspec.json.Encoder(decimal_format="number").encode


def joined(app_id: str, other: str) -> str:
    """A key of two texts. The length keeps them apart whatever they hold."""
    return f"{len(app_id)}:{app_id}/{other}"


def to_item(event: HotEvent, expires_at: int) -> dict[str, Any]:
    """The item in DynamoDB's own notation."""
    timestamp = format_utc(event.occurred_at)
    values: dict[str, Any] = {
        KEY: joined(event.app_id, event.event_id),
        TIMESTAMP: timestamp,
        APP_EVENT_TYPE: joined(event.app_id, event.event_type),
        APP_USER_ID: joined(event.app_id, event.user_id),
        APP_DATE: joined(event.app_id, timestamp[:10]),
        EXPIRES_AT: expires_at,
        "app_id": event.app_id,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "user_id": event.user_id,
        "received_at": format_utc(event.received_at),
        "contract": event.contract,
        "kafka_partition": event.kafka_partition,
        "kafka_offset": event.kafka_offset,
    }
    item = {name: _serialize(value) for name, value in values.items()}
    payload = _exact_map(event.body)
    if payload is not None:
        item["payload"] = payload
    else:
        item["payload_json"] = {"S": event.body.decode()}
    return item


def to_event(item: dict[str, Any]) -> HotEvent:
    """The event of an item. Its body has the same value as the one written; spaces and the order of keys are DynamoDB's."""
    values = {name: _deserialize(value) for name, value in item.items()}
    text = values.get("payload_json")
    body = _encode(values["payload"]) if text is None else text.encode()
    return HotEvent(
        values["app_id"],
        values["event_id"],
        values["event_type"],
        values["user_id"],
        _moment(values[TIMESTAMP]),
        _moment(values["received_at"]),
        values["contract"],
        body,
        int(values["kafka_partition"]),
        int(values["kafka_offset"]),
    )


def to_position(item: dict[str, Any]) -> Position:
    """Its place in a list."""
    return Position(_moment(item[TIMESTAMP]["S"]), item["event_id"]["S"])


def to_key(item: dict[str, Any]) -> HotKey:
    """What identifies it, with its coordinates and time."""
    partition, offset = int(item["kafka_partition"]["N"]), int(item["kafka_offset"]["N"])
    return HotKey(item["app_id"]["S"], item["event_id"]["S"], partition, offset, _moment(item[TIMESTAMP]["S"]))


def _exact_map(body: bytes) -> dict[str, Any] | None:
    """The body as a DynamoDB map; None when that would not be the same value."""
    try:
        document = json.loads(body, parse_float=Decimal, parse_int=Decimal)
        if not _fits(document, MAX_DEPTH):
            return None
        found: dict[str, Any] = _serialize(document)
    except (DecimalException, TypeError, RecursionError):
        return None
    return found


def _fits(value: Any, depth: int) -> bool:
    if isinstance(value, Decimal):
        # The serializer's context reports what it would round, but takes exponents that the service refuses.
        return value == 0 or -130 <= _exact.create_decimal(value).adjusted() <= 125
    if isinstance(value, str):
        return value.isascii() or _is_unicode(value)
    if isinstance(value, dict):
        return depth > 0 and all(name and _fits(name, 0) and _fits(item, depth - 1) for name, item in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_fits(item, depth - 1) for item in value)
    return True


def _is_unicode(text: str) -> bool:
    """False for half of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
