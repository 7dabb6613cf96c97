"""Rows for the checker's tests: good ones by default, at ten past the hour."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.verification.world import StampedRow
from tests.unit.ingestion.builders import download
from tests.unit.ingestion.schema_registry.test_decoding import encoded

HOUR = datetime(2026, 2, 1, 10, tzinfo=UTC)


def engagement(
    kafka_offset: int, *, minutes: int = 10, user: str = "u1", body: Mapping[str, Any] | None = None, **changes: Any
) -> StampedRow:
    """A like on the web, `minutes` after HOUR. `body` adds fields."""
    fields: dict[str, Any] = {
        "event_type": "like",
        "event_id": f"e{kafka_offset}",
        "occurred_at": HOUR + timedelta(minutes=minutes),
        "value": _json(
            event_type="like",
            user_id=user,
            platform="web",
            event_id=changes.get("event_id", f"e{kafka_offset}"),
            **(body or {}),
        ),
        **changes,
    }
    return StampedRow(kafka_offset=kafka_offset, **fields)


def generic(kafka_offset: int, *, minutes: int = 10, user: str = "u1", **changes: Any) -> StampedRow:
    """An order, `minutes` after HOUR."""
    fields: dict[str, Any] = {
        "event_type": "order_placed",
        "contract": "generic/1",
        "event_id": f"g{kafka_offset}",
        "occurred_at": HOUR + timedelta(minutes=minutes),
        "value": _json(event_type="order_placed", user_id=user, payload={"total": 3}),
        **changes,
    }
    return StampedRow(kafka_offset=kafka_offset, **fields)


def product(
    kafka_offset: int, *, minutes: int = 10, user: str = "u1", body: Mapping[str, Any] | None = None, **changes: Any
) -> StampedRow:
    """A user's exposure to variant A of `checkout`, `minutes` after HOUR. `body` overrides its fields; None leaves one out."""
    fields: dict[str, Any] = {
        "event_type": "feature_exposed",
        "contract": "product/1",
        "event_id": f"p{kafka_offset}",
        "occurred_at": HOUR + timedelta(minutes=minutes),
        **changes,
    }
    sent = {
        "event_id": fields["event_id"],
        "event_type": fields["event_type"],
        "user_id": user,
        "event_ts": int(fields["occurred_at"].timestamp() * 1000),
        "experiment_id": "checkout",
        "variant": "A",
        **(body or {}),
    }
    value = _json(**{name: item for name, item in sent.items() if item is not None})
    return StampedRow(kafka_offset=kafka_offset, **{"value": value, **fields})


def json_download(kafka_offset: int, *, region: str = "EU", **changes: Any) -> StampedRow:
    """A download that failed, as JSON, ten minutes after HOUR."""
    body = download(event_id=changes.get("event_id", f"d{kafka_offset}"))
    body["user_context"]["region"] = region
    body["download"] |= {"status": "failed", "error_code": "CDN_TIMEOUT"}
    fields: dict[str, Any] = {
        "event_type": "download",
        "contract": "download/1",
        "event_id": f"d{kafka_offset}",
        "occurred_at": HOUR + timedelta(minutes=10),
        "value": _json(**body),
        **changes,
    }
    return StampedRow(kafka_offset=kafka_offset, **fields)


def avro_download(
    kafka_offset: int, schema_id: int, *, cut_bytes: int = 0, user: str = "u1", **changes: Any
) -> StampedRow:
    """A download in Avro, ten minutes after HOUR; its last bytes may be missing."""
    value = encoded(download(event_id=f"d{kafka_offset}", user_id=user), schema_id=schema_id)
    fields: dict[str, Any] = {
        "event_type": "download",
        "contract": "download/1",
        "event_id": f"d{kafka_offset}",
        "occurred_at": HOUR + timedelta(minutes=10),
        "value": value[: len(value) - cut_bytes],
        **changes,
    }
    return StampedRow(kafka_offset=kafka_offset, **fields)


def _json(**body: Any) -> bytes:
    return json.dumps(body).encode()
