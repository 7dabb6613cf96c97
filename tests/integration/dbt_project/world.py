"""One bronze that takes every branch of the models, and what its build must give. Times are of 1 January 2026, by `at`."""

from datetime import UTC, datetime, timedelta

from tests.fixtures.bronze_rows import DEAD_LETTER_TOPIC, IMPORT_TOPIC, BronzeRow, engagement_row, generic_row

BUILT_HOURS = ["2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z"]
WINDOW = ("2026-01-01T10:00:00", "2026-01-01T13:00:00")


def at(clock: str, days: int = 0) -> datetime:
    """That time of day, so many days after 1 January 2026."""
    hour, minute, *second = clock.split(":")
    seconds = float(second[0]) if second else 0.0
    return datetime(2026, 1, 1, int(hour), int(minute), tzinfo=UTC) + timedelta(days=days, seconds=seconds)


EVENTS = [
    engagement_row(1, at("10:02"), "full", body={
        "user_id": " u1 ", "content_id": "c1", "session_id": "s1", "device_type": "phone", "location": "Bern", "metadata": {"page": "home"},
    }),
    engagement_row(2, at("10:04:59.999999"), "other-user", body={"user_id": "u2", "platform": "ios"}),
    generic_row(3, at("12:00"), "generic", body={"payload": {"total": 3}, "session_id": 5}),
    engagement_row(4, at("10:30"), "on-time", received_at=at("10:40")),
    engagement_row(5, at("10:30"), "late", received_at=at("10:40:00.000001")),
    engagement_row(6, at("12:30"), "of-another-app", app_id="second"),
    engagement_row(7, at("12:30"), "beyond-the-horizon"),
    engagement_row(8, at("12:30"), "after-a-rejected-copy"),
    engagement_row(9, at("12:30"), "before-its-copies"),
    engagement_row(10, at("10:45"), "landed-first", kafka_partition=1, ingested_at=at("10:44")),
    engagement_row(11, at("12:15"), "own-app", app_id="second"),
]  # fmt: skip

DUPLICATES: dict[int, tuple[str, int, int, bool]] = {
    # offset of the copy in (live topic, partition 0): winner's topic, partition and offset, and whether the payloads differ
    20: ("events.raw.v1", 0, 1, True),
    21: ("events.raw.v1", 0, 2, False),
    22: ("events.raw.v1", 0, 60, False),
    23: ("events.raw.v1", 0, 61, False),
    24: (IMPORT_TOPIC, 2, 0, False),
    25: ("events.raw.v1", 1, 10, False),
    26: ("events.raw.v1", 0, 9, False),
    27: ("events.raw.v1", 0, 63, False),
}
COPIES = [
    engagement_row(20, at("10:02"), "full"),
    engagement_row(21, at("12:05"), "other-user", body={"user_id": "u2", "platform": "ios"}),
    engagement_row(22, at("10:10"), "winner-in-an-earlier-hour"),
    engagement_row(23, at("12:10"), "winner-in-an-hour-between"),
    engagement_row(24, at("12:20"), "winner-was-imported"),
    engagement_row(25, at("10:45"), "landed-first", ingested_at=at("10:50")),
    engagement_row(26, at("12:59"), "before-its-copies"),
    engagement_row(27, at("12:59"), "winner-seven-days-away"),
]

QUARANTINE: dict[tuple[str, int], tuple[str, str]] = {
    (DEAD_LETTER_TOPIC, 0): ("invalid_field", "edge"),
    (DEAD_LETTER_TOPIC, 2): ("malformed_json", "edge"),
    ("events.raw.v1", 40): ("missing_header", "landing"),
    ("events.raw.v1", 41): ("empty_value", "silver"),
    ("events.raw.v1", 42): ("unknown_contract", "silver"),
    ("events.raw.v1", 43): ("occurred_in_future", "silver"),
    ("events.raw.v1", 44): ("before_first_day", "silver"),
    ("events.raw.v1", 45): ("invalid_field:event_type", "silver"),
    ("events.raw.v1", 46): ("missing_header", "silver"),
    ("events.raw.v1", 47): ("bad_occurred_at", "silver"),
    ("events.raw.v1", 48): ("invalid_utf8", "silver"),
    ("events.raw.v1", 49): ("missing_field:user_id", "silver"),
}
REJECTED = [
    engagement_row(0, at("10:20"), kafka_topic=DEAD_LETTER_TOPIC, dlq_stage="edge", rejection_reason="invalid_field"),
    BronzeRow(2, b"\xff{", None, None, event_type=None, contract=None, key=None, received_at=at("10:21"), kafka_topic=DEAD_LETTER_TOPIC,
              dlq_stage="edge", rejection_reason="malformed_json"),
    BronzeRow(40, b"{}", None, None, event_type=None, contract=None, app_id="unknown", received_at=at("12:00"),
              rejection_reason="missing_header"),
    BronzeRow(41, None, at("12:01"), "e41"),
    engagement_row(42, at("12:01"), contract="engagement/9"),
    engagement_row(43, at("12:01", days=400), received_at=at("12:01")),
    engagement_row(44, at("12:01", days=-9000), received_at=at("12:01")),
    engagement_row(45, at("12:01"), body={"event_type": "like"}),
    BronzeRow(46, b"{}", at("12:01"), None),
    BronzeRow(47, b"{}", None, "e47", received_at=at("12:01")),
    BronzeRow(48, b'{"user_id":"\xff"}', at("12:01"), "e48"),
    engagement_row(49, at("12:01"), "after-a-rejected-copy", body={"user_id": None}, ingested_at=at("11:00")),
]  # fmt: skip

OUTSIDE = [
    engagement_row(1, at("10:25"), "pointer", kafka_topic=DEAD_LETTER_TOPIC, dlq_stage="consumer"),
    engagement_row(60, at("09:59"), "winner-in-an-earlier-hour"),
    engagement_row(61, at("11:10"), "winner-in-an-hour-between"),
    engagement_row(62, at("12:29:59", days=-7), "beyond-the-horizon"),
    engagement_row(63, at("12:59", days=-7), "winner-seven-days-away"),
    engagement_row(64, at("09:00"), "own-app"),
    engagement_row(65, at("11:30"), "after-a-rejected-copy", body={"platform": "tv"}),
    engagement_row(66, at("12:00", days=3), "before-its-copies"),
    engagement_row(0, at("12:20", days=-2), "winner-was-imported", kafka_topic=IMPORT_TOPIC, kafka_partition=2),
    engagement_row(67, at("11:45"), "in-an-hour-that-is-not-built", body={"user_id": "u9"}),
]

PUBLISHED_USER_HOURS = [
    # app_id, family, user_id, platform, event_type, event_date, event_hour, event_count: as published before this build
    ("public", "engagement", "u1", "web", "click", "2026-01-01", at("09:00"), 5),
    ("public", "engagement", "u7", "web", "click", "2026-01-01", at("11:00"), 1),
    ("public", "engagement", "u8", "web", "click", "2026-01-01", at("10:00"), 100),
    ("public", "engagement", "u8", "web", "click", "2026-01-02", at("00:00", days=1), 100),
    ("public", "engagement", "u8", "web", "like", "2026-01-01", at("23:00"), 2),
]
