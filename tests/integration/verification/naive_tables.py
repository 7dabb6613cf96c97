"""Silver and gold of hours as the rules' text says them, in naive Python: a third wording beside dbt's and the checker's."""

import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import fastavro

from ingestion.contracts.avro_wire import decodable
from tests.unit.ingestion.schema_registry.test_decoding import V1

if TYPE_CHECKING:
    from tests.integration.verification.world import StampedRow

HORIZON = timedelta(days=7)
LATE_AFTER = timedelta(seconds=600)
HOURLY = ("gold.agg_5min_events", "gold.agg_hour_events")


def build(rows: "Sequence[StampedRow]", wanted: set[datetime]) -> dict[str, list[dict[str, Any]]]:
    """The rows of the wanted hours of every table but the daily one, from the rules' text."""
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    downloads: list[StampedRow] = []
    exposed: list[StampedRow] = []
    valid = [row for row in rows if _reason(row) is None and row.dlq_stage is None]
    for row in rows:
        if row.event_hour not in wanted or row.dlq_stage == "consumer":
            continue
        if row not in valid:
            tables["silver.quarantine"].append(_quarantined(row))
            continue
        earlier = [
            other
            for other in valid
            if (other.app_id, other.event_id) == (row.app_id, row.event_id)
            and other.landed_order < row.landed_order
            and abs(other.occurred_at - row.occurred_at) <= HORIZON  # type: ignore[operator]  # valid rows have it
        ]
        if row.redrive_of is not None and row.redrive_of.split("/")[1].isdigit():
            tables["silver.redrives"].append(_redrive(row, row.redrive_of))
        if earlier:
            tables["silver.duplicates"].append(_duplicate(row, min(earlier, key=lambda other: other.landed_order)))
        else:
            tables["silver.events"].append(_event(row))
            downloads += [row] if row.contract == "download/1" else []
            exposed += [row] if row.event_type == "feature_exposed" else []
    _aggregate(tables)
    tables["gold.agg_hour_download_errors"] = _download_errors(downloads)
    tables["silver.experiment_exposures"] = _exposures(exposed)
    return tables


def _reason(row: "StampedRow") -> str | None:
    if row.rejection_reason is not None:
        return row.rejection_reason
    try:
        return None if isinstance(_document(row), dict) else "not_an_object"
    except ValueError:
        return "malformed_json"
    except EOFError:
        return "malformed_avro"


def _document(row: "StampedRow") -> Any:
    """The body. Avro ones are written with the contract's own schema."""
    value = row.value or b""
    if value[:1] != b"\0":
        return json.loads(value)
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(decodable(json.dumps(V1))))


def _stamps(row: "StampedRow") -> dict[str, Any]:
    return {
        "kafka_topic": row.kafka_topic,
        "kafka_partition": row.kafka_partition,
        "kafka_offset": row.kafka_offset,
        "app_id": row.app_id,
        "event_id": row.event_id,
        "received_at": row.received,
        "ingested_at": row.ingested_at,
        "event_date": row.event_hour.date(),
        "event_hour": row.event_hour,
    }


def _hash(row: "StampedRow") -> str:
    return hashlib.md5(row.value or b"", usedforsecurity=False).hexdigest()


def _event(row: "StampedRow") -> dict[str, Any]:
    body = _document(row)
    assert row.occurred_at is not None
    assert row.contract is not None
    return {
        **_stamps(row),
        "event_type": row.event_type,
        "contract": row.contract,
        "occurred_at": row.occurred_at,
        "family": row.contract.split("/")[0],
        "user_id": body["user_id"].strip(),
        "platform": body.get("platform"),
        **_details(row.contract, body),
        "is_late": row.received - row.occurred_at > LATE_AFTER,
        "payload_hash": _hash(row),
    }


def _details(contract: str, body: dict[str, Any]) -> dict[str, Any]:
    if contract == "engagement/1":
        texts = {name: body.get(name) for name in ("content_id", "session_id", "device_type", "location")}
        return {**texts, "metadata": _compact(body["metadata"]) if "metadata" in body else None}
    return {"payload": _compact(body["payload"])} if contract == "generic/1" else {}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _duplicate(row: "StampedRow", winner: "StampedRow") -> dict[str, Any]:
    return {
        **_stamps(row),
        "occurred_at": row.occurred_at,
        "payload_differs": _hash(row) != _hash(winner),
        "winner_topic": winner.kafka_topic,
        "winner_partition": winner.kafka_partition,
        "winner_offset": winner.kafka_offset,
    }


def _redrive(row: "StampedRow", origin: str) -> dict[str, Any]:
    topic, partition, offset = origin.split("/")
    named = {"origin_topic": topic, "origin_partition": int(partition), "origin_offset": int(offset)}
    return {**_stamps(row), **named}


def _quarantined(row: "StampedRow") -> dict[str, Any]:
    stage = row.dlq_stage or ("landing" if row.rejection_reason else "silver")
    stamps = {**_stamps(row), "event_type": row.event_type, "contract": row.contract}
    return {**stamps, "reason": _reason(row), "stage": stage, "raw_value": row.value}


def _aggregate(tables: dict[str, list[dict[str, Any]]]) -> None:
    """Adds gold's hourly tables for the silver events."""
    users: Counter[tuple[Any, ...]] = Counter()
    windows: dict[str, dict[tuple[Any, ...], list[str]]] = {table: defaultdict(list) for table in HOURLY}
    for event in tables["silver.events"]:
        dims = (event["app_id"], event["family"], event["event_type"], event["platform"] or "none")
        hour = event["event_hour"]
        users[(*dims, event["user_id"], hour)] += 1
        five = event["occurred_at"].replace(minute=event["occurred_at"].minute // 5 * 5, second=0, microsecond=0)
        windows["gold.agg_5min_events"][(*dims, hour, five, five + timedelta(minutes=5))].append(event["user_id"])
        windows["gold.agg_hour_events"][(*dims, hour, hour, hour + timedelta(hours=1))].append(event["user_id"])
    for (app, family, kind, platform, user, hour), count in users.items():
        tables["gold.fct_user_hours"].append(
            {"app_id": app, "family": family, "user_id": user, "platform": platform, "event_type": kind}
            | {"event_date": hour.date(), "event_hour": hour, "event_count": count}
        )
    for table, cells in windows.items():
        for (app, family, kind, platform, hour, start, end), seen in cells.items():
            tables[table].append(
                {"app_id": app, "family": family, "event_type": kind, "platform": platform}
                | {"window_start": start, "window_end": end, "event_date": hour.date(), "event_hour": hour}
                | {"event_count": len(seen), "unique_users": len(set(seen))}
            )


def _download_errors(downloads: "Sequence[StampedRow]") -> list[dict[str, Any]]:
    """Gold's cells by region and error code."""
    outcomes: dict[tuple[str, datetime, str, str], Counter[str]] = defaultdict(Counter)
    for row in downloads:
        body = _document(row)
        code = body["download"].get("error_code") or "none"
        outcomes[row.app_id, row.event_hour, body["user_context"]["region"], code][body["download"]["status"]] += 1
    return [
        {
            "app_id": app,
            "region": region,
            "error_code": code,
            "window_start": hour,
            "window_end": hour + timedelta(hours=1),
        }
        | {"event_date": hour.date(), "event_hour": hour, "event_count": counts.total()}
        | {f"{status}_count": counts[status] for status in ("success", "failed", "cancelled")}
        for (app, hour, region, code), counts in outcomes.items()
    ]


def _exposures(exposed: "Sequence[StampedRow]") -> list[dict[str, Any]]:
    """Silver's exposures of each user to each variant."""
    times: dict[tuple[str, ...], dict[datetime, list[datetime]]] = defaultdict(lambda: defaultdict(list))
    for row in exposed:
        body = _document(row)
        if body.get("experiment_id") is not None:
            assert row.occurred_at is not None
            key = (row.app_id, body["experiment_id"], body["variant"], body["user_id"].strip())
            times[key][row.event_hour].append(row.occurred_at)
    return [
        {"app_id": app, "experiment_id": experiment, "variant": variant, "user_id": user}
        | {"event_date": hour.date(), "event_hour": hour, "first_exposed_at": min(seen), "exposure_count": len(seen)}
        for (app, experiment, variant, user), hours in times.items()
        for hour, seen in hours.items()
    ]
