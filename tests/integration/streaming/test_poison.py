"""Nothing that a producer can send stops landing, and everything it sends is kept byte for byte with a reason."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from ingestion.contracts import headers
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, IMPORT_TOPIC, LIVE_TOPIC
from tests.integration.streaming.landing_bench import (
    Headers,
    LandingBench,
    good_value,
    produce,
    read_broker,
    read_columns,
    stamp_headers,
)

pytestmark = pytest.mark.integration

DEFAULT_KEY = b"user-1"


@dataclass(frozen=True)
class Poison:
    """A record, and what bronze must say about it. `counted` names the clock that event_hour follows."""

    name: str
    reason: str | None
    record_headers: Headers
    key: bytes | None = DEFAULT_KEY
    value: bytes | None = good_value()
    topic: str = LIVE_TOPIC
    counted: str = "occurred"
    app_id: str = "app-1"
    dlq_stage: str | None = None


def stamped(**overrides: bytes | None) -> Headers:
    return list(stamp_headers(**overrides).items())


def without(*names: str) -> Headers:
    return [(name, value) for name, value in stamp_headers().items() if name not in names]


def dead_letter(**extra: bytes) -> Headers:
    return [*without(headers.OCCURRED_AT, headers.DATA_SCHEMA), *[(f"ce_{k}", v) for k, v in extra.items()]]


TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FUTURE = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()

TABLE = [
    Poison("good", None, stamped()),
    Poison("good_import", None, stamped(OCCURRED_AT=b"2016-02-29T23:59:59.999999Z"), topic=IMPORT_TOPIC),
    Poison("good_with_offset_zone", None, stamped(OCCURRED_AT=b"2024-05-01T02:00:00+02:00")),
    Poison("repeated_header", None, [*without(), (headers.EVENT_ID, b"second")]),
    Poison("unknown_header_with_null_value", None, [*without(), ("x-note", None)]),
    Poison("null_key_with_user_in_value", None, stamped(), key=None),
    Poison("null_key_without_user", "null_key", stamped(), key=None, value=b'{"event_type":"click"}'),
    Poison("null_key_and_not_json", "null_key", stamped(), key=None, value=b"{not json"),
    Poison("not_json_is_for_silver_to_judge", None, stamped(), value=b"{not json"),
    Poison("null_value", "empty_value", stamped(), value=None),
    Poison("empty_value", "empty_value", stamped(), value=b""),
    Poison("no_headers", "missing_header", None, counted="kafka", app_id="unknown"),
    Poison("no_event_id", "missing_header", without(headers.EVENT_ID)),
    Poison("empty_event_id", "missing_header", stamped(EVENT_ID=b"")),
    Poison("null_header_value", "missing_header", stamped(EVENT_TYPE=None)),
    Poison("header_not_utf8", "missing_header", stamped(SOURCE=b"\xff\xfe"), app_id="unknown"),
    Poison("value_not_utf8", "invalid_utf8", stamped(), value=b'{"user_id":"\xed\xa0\x80"}'),
    Poison("value_of_all_bytes", "invalid_utf8", stamped(), value=bytes(range(256))),
    Poison("avro_is_for_silver_to_judge", None, stamped(DATA_SCHEMA=b"download/1"), value=b"\0\0\0\0\1\x02\xff"),
    Poison("avro_of_a_contract_that_has_none", "invalid_utf8", stamped(), value=b"\0\0\0\0\1\x02\xff"),
    Poison("no_text_and_not_avro", "invalid_utf8", stamped(DATA_SCHEMA=b"download/1"), value=b"\1\xff"),
    Poison("unknown_contract", "unknown_contract", stamped(DATA_SCHEMA=b"engagement/99")),
    Poison("bad_time", "bad_occurred_at", stamped(OCCURRED_AT=b"yesterday"), counted="received"),
    Poison("time_of_day_only", "bad_occurred_at", stamped(OCCURRED_AT=b"10:20"), counted="received"),
    Poison(
        "thirtieth_of_february", "bad_occurred_at", stamped(OCCURRED_AT=b"2024-02-30T00:00:00Z"), counted="received"
    ),
    Poison("second_sixty", "bad_occurred_at", stamped(OCCURRED_AT=b"2016-12-31T23:59:60Z"), counted="received"),
    Poison("absurd_number", "bad_occurred_at", stamped(OCCURRED_AT=b"9" * 400), counted="received"),
    Poison("bad_received_at", "bad_received_at", stamped(RECEIVED_AT=b"-1")),
    Poison("both_times_bad", "bad_received_at", stamped(RECEIVED_AT=b"NaN", OCCURRED_AT=b"NaN"), counted="kafka"),
    Poison("year_9999", "occurred_in_future", stamped(OCCURRED_AT=b"9999-12-31T23:59:59.999999Z"), counted="received"),
    Poison("future", "occurred_in_future", stamped(OCCURRED_AT=FUTURE), counted="received"),
    Poison("year_one", "before_first_day", stamped(OCCURRED_AT=b"0001-01-01T00:00:00Z"), counted="received"),
    Poison(
        "year_one_in_microseconds",
        "before_first_day",
        stamped(OCCURRED_AT=b"0001-01-01T00:00:00.000000Z"),
        counted="received",
    ),
    Poison(
        "hour_twenty_four", "bad_occurred_at", stamped(OCCURRED_AT=b"2024-05-01T24:00:00.000000Z"), counted="received"
    ),
    Poison(
        "year_10000_by_zone", "bad_occurred_at", stamped(OCCURRED_AT=b"9999-12-31T23:59:59-02:00"), counted="received"
    ),
    Poison("year_zero", "bad_occurred_at", stamped(OCCURRED_AT=b"0000-01-01T00:00:00Z"), counted="received"),
    Poison(
        "before_first_day", "before_first_day", stamped(OCCURRED_AT=b"2014-12-31T23:59:59.999999Z"), counted="received"
    ),
    Poison(
        "received_in_year_9999",
        "bad_occurred_at",
        stamped(RECEIVED_AT=b"9999-12-31T00:00:00Z", OCCURRED_AT=b"x"),
        counted="kafka",
    ),
    Poison("one_mebibyte", None, stamped(), value=b'{"user_id":"u","metadata":"' + b"x" * 1_048_576 + b'"}'),
    Poison(
        "dead_letter_of_the_edge",
        "malformed_json",
        dead_letter(dlqstage=b"edge", dlqreason=b"malformed_json"),
        topic=DEAD_LETTER_TOPIC,
        value=b"{\xff",
        counted="received",
        dlq_stage="edge",
    ),
    Poison(
        "dead_letter_of_a_consumer",
        "handler_failed",
        dead_letter(dlqstage=b"consumer", dlqreason=b"handler_failed"),
        topic=DEAD_LETTER_TOPIC,
        counted="received",
        dlq_stage="consumer",
    ),
    Poison(
        "dead_letter_without_anything",
        "missing_header",
        None,
        key=None,
        value=None,
        topic=DEAD_LETTER_TOPIC,
        counted="kafka",
        app_id="unknown",
        dlq_stage="edge",
    ),
    Poison("dead_letter_headers_on_a_live_record", None, [*without(), (headers.DEAD_LETTER_STAGE, b"edge")]),
    Poison("traced", None, [*without(), (headers.TRACE_PARENT, TRACE)]),
    Poison("traced_first", None, [(headers.TRACE_PARENT, TRACE), *without()]),
    Poison("traced_without_value", None, [*without(), (headers.TRACE_PARENT, None)]),
    Poison("traced_not_utf8", None, [*without(), (headers.TRACE_PARENT, b"\xff")]),
    Poison("traced_twice", None, [*without(), (headers.TRACE_PARENT, TRACE), (headers.TRACE_PARENT, TRACE)]),
    Poison("time_in_milliseconds", None, stamped(OCCURRED_AT=b"2024-05-01T02:00:00.123Z")),
    Poison("time_in_nanoseconds", None, stamped(OCCURRED_AT=b"2024-05-01T02:00:00.123456789Z")),
    Poison("time_of_that_length_in_a_zone", None, stamped(OCCURRED_AT=b"2024-05-01T02:00:00.1+02:00")),
    Poison(
        "time_in_lower_case",
        "bad_occurred_at",
        stamped(OCCURRED_AT=b"2024-05-01t02:00:00.123456Z"),
        counted="received",
    ),
    Poison("received_in_milliseconds", None, stamped(RECEIVED_AT=b"2024-05-01T02:00:00.123Z")),
    Poison("other_order", None, [*reversed(without())]),
    Poison("other_spec_version", None, stamped(SPEC_VERSION=b"1.1")),
    Poison("null_spec_version", None, stamped(SPEC_VERSION=None)),
    Poison("no_spec_version", None, without(headers.SPEC_VERSION)),
]

# Their headers are the stamps, as the API writes them.
PLAIN = {
    "avro_is_for_silver_to_judge", "avro_of_a_contract_that_has_none", "no_text_and_not_avro",
    "good", "good_import", "null_key_with_user_in_value", "null_key_without_user", "null_key_and_not_json",
    "not_json_is_for_silver_to_judge", "null_value", "empty_value", "empty_event_id", "value_not_utf8", "value_of_all_bytes",
    "unknown_contract", "year_9999", "year_one_in_microseconds", "future", "before_first_day", "one_mebibyte",
}  # fmt: skip


@pytest.mark.feature("S0-5")
@pytest.mark.feature("S0-7")
@pytest.mark.feature("S1-6")
def test_every_record_lands_once_byte_for_byte_and_with_its_reason(bench: LandingBench) -> None:
    bootstrap = bench.storage.kafka_bootstrap_servers
    places = produce(bootstrap, [(p.topic, p.key, p.value, p.record_headers) for p in TABLE])

    bench.land_all()

    assert bench.read_bronze() == read_broker(bootstrap)
    columns = [
        "kafka_topic", "kafka_partition", "kafka_offset", "rejection_reason", "app_id", "dlq_stage",
        "occurred_at", "received_at", "kafka_timestamp", "event_hour", "event_date", "event_id",
    ]  # fmt: skip
    rows = {
        (row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]): row
        for row in read_columns(bench.storage.bronze_uri, columns)
    }
    wrong = []
    for poison, place in zip(TABLE, places, strict=True):
        row = rows[(poison.topic, *place)]
        clock = {"occurred": "occurred_at", "received": "received_at", "kafka": "kafka_timestamp"}[poison.counted]
        hour = row[clock].replace(minute=0, second=0, microsecond=0)
        expected = (poison.reason, poison.app_id, poison.dlq_stage, hour, hour.date())
        found = (row["rejection_reason"], row["app_id"], row["dlq_stage"], row["event_hour"], row["event_date"])
        if found != expected:
            wrong.append((poison.name, found, expected))
    assert not wrong


def test_headers_that_are_the_stamps_alone_are_written_once(bench: LandingBench) -> None:
    places = produce(
        bench.storage.kafka_bootstrap_servers, [(p.topic, p.key, p.value, p.record_headers) for p in TABLE]
    )

    bench.land_all()

    rows = read_columns(bench.storage.bronze_uri, ["kafka_topic", "kafka_partition", "kafka_offset", "headers"])
    without_headers = {
        (row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]) for row in rows if row["headers"] is None
    }
    assert {
        poison.name
        for poison, place in zip(TABLE, places, strict=True)
        if poison.record_headers and (poison.topic, *place) in without_headers
    } == PLAIN


def test_the_first_of_repeated_headers_counts(bench: LandingBench) -> None:
    [place] = produce(
        bench.storage.kafka_bootstrap_servers,
        [(LIVE_TOPIC, DEFAULT_KEY, good_value(), [*without(), (headers.EVENT_ID, b"second")])],
    )

    bench.land_all()

    rows = read_columns(bench.storage.bronze_uri, ["kafka_topic", "kafka_partition", "kafka_offset", "event_id"])
    assert [
        row["event_id"]
        for row in rows
        if (row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]) == (LIVE_TOPIC, *place)
    ] == ["event-1"]
