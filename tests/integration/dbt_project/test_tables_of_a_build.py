"""What a build's tables hold, for a bronze that takes every branch. Needs PostgreSQL, Delta and dbt; no broker, no Spark."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fixtures import bodies
from tests.fixtures.bronze_rows import payload_hash
from tests.integration.dbt_project import world
from tests.integration.dbt_project.conftest import Build

pytestmark = pytest.mark.integration
NOT_CONTRACTS = "app_id not in ('contracts', 'avro')"


def test_events_are_the_first_landed_valid_records(built: Build) -> None:
    rows = built.rows(f"select kafka_offset, event_id, app_id, payload_hash from silver.events where {NOT_CONTRACTS}")

    assert sorted(rows) == sorted(
        (row.kafka_offset, row.event_id, row.app_id, payload_hash(row)) for row in world.EVENTS
    )


def test_events_are_typed_and_trimmed(built: Build) -> None:
    columns = "family, event_type, user_id, platform, content_id, session_id, device_type, location, metadata, payload, contract"
    rows = built.rows(
        f"select event_id, {columns} from silver.events where event_id in ('full', 'generic') order by event_id"
    )

    assert rows == [
        (
            "full",
            "engagement",
            "click",
            "u1",
            "web",
            "c1",
            "s1",
            "phone",
            "Bern",
            '{"page":"home"}',
            None,
            "engagement/1",
        ),
        ("generic", "generic", "order_placed", "u1", None, None, None, None, None, None, '{"total":3}', "generic/1"),
    ]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (
            (bodies.PRODUCT, bodies.product()),
            ("product", "feature_exposed", "u1", {"experiment_id": "checkout", "variant": "A", "producer_ts": 1767261720125,
             "properties": {"page": "/", "n": [1, 2.5]}, "sdk_version": "1.2.0", "source": "web"}),
        ),
        (
            (bodies.PRODUCT, bodies.UNKNOWN_NAMES_OF_OTHER_FAMILIES),
            ("product", "feature_exposed", "u1", {"experiment_id": "checkout", "variant": "A", "producer_ts": 1767261720125,
             "sdk_version": "1.2.0", "source": "web", "author": "a", "timestamp": "noon"}),
        ),
        (
            (bodies.SOCIAL, bodies.social("comment_created")),
            ("social", "comment_created", "u1",
             {"comment_id": "c2", "post_id": "p1", "parent_id": "c1", "text": "yes", "upvotes": 3}),
        ),
        (
            (bodies.DOWNLOAD, bodies.download()),
            ("download", "download", "u1", {name: bodies.GOOD_DOWNLOAD[name] for name in ("content", "download", "user_context")}),
        ),
    ],
    ids=["product", "unknown names", "social", "download"],
)  # fmt: skip
def test_other_families_keep_what_is_no_column_as_payload(
    built: Build, case: tuple[str, bytes], expected: tuple[str, str, str, dict[str, Any]]
) -> None:
    number = bodies.ONE_FLAW_OR_NONE.index(case)
    [(*columns, platform, payload)] = built.rows(
        "select family, event_type, user_id, platform, payload from silver.events "
        f"where app_id = 'contracts' and kafka_offset = {number}"
    )

    assert (*columns, json.loads(payload)) == expected
    assert platform is None


@pytest.mark.feature("S4-18")
def test_downloads_are_counted_by_region_and_error_code(built: Build) -> None:
    outcomes: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    events = built.rows("select app_id, event_hour, payload from silver.events where family = 'download'")
    for app_id, hour, payload in events:
        body = json.loads(payload)
        code = body["download"].get("error_code")
        key = (app_id, body["user_context"]["region"], "none" if code is None else code, hour)
        outcomes[key][body["download"]["status"]] += 1

    assert any(code != "none" for _, _, code, _ in outcomes)
    cells = built.rows(
        "select app_id, region, error_code, event_hour, window_start, window_end, "
        "event_count, success_count, failed_count, cancelled_count "
        "from gold.agg_hour_download_errors"
    )
    assert {(*cell[:4],): cell[4:] for cell in cells} == {
        key: (
            key[3],
            key[3] + timedelta(hours=1),
            counts.total(),
            counts["success"],
            counts["failed"],
            counts["cancelled"],
        )
        for key, counts in outcomes.items()
    }
    assert len(cells) == len(outcomes)


@pytest.mark.feature("S0-9")
def test_an_event_is_late_beyond_ten_minutes_of_its_receipt(built: Build) -> None:
    rows = built.rows("select event_id, is_late from silver.events where event_id in ('on-time', 'late')")

    assert dict(rows) == {"on-time": False, "late": True}


@pytest.mark.feature("S1-9")
def test_copies_name_the_earliest_landed_within_the_horizon(built: Build) -> None:
    rows = built.rows(
        "select kafka_offset, winner_topic, winner_partition, winner_offset, payload_differs from silver.duplicates "
        f"where {NOT_CONTRACTS}"
    )

    assert {offset: tuple(winner) for offset, *winner in rows} == world.DUPLICATES
    assert len(rows) == len(world.DUPLICATES)


@pytest.mark.feature("S0-7")
def test_rejected_records_are_quarantined_with_their_bytes(built: Build) -> None:
    rows = built.rows(
        f"select kafka_topic, kafka_offset, reason, stage, raw_value from silver.quarantine where {NOT_CONTRACTS}"
    )

    assert {(topic, offset): (reason, stage) for topic, offset, reason, stage, _ in rows} == world.QUARANTINE
    sent = {(row.kafka_topic, row.kafka_offset): row.value for row in world.REJECTED}
    assert {(topic, offset): value for topic, offset, _, _, value in rows} == sent


def test_user_hours_count_the_events_of_each_user(built: Build) -> None:
    counts: dict[tuple[object, ...], int] = defaultdict(int)
    for row in built.rows(
        "select app_id, family, user_id, coalesce(platform, 'none'), event_type, event_hour from silver.events"
    ):
        counts[tuple(row)] += 1

    rows = built.rows(
        "select app_id, family, user_id, platform, event_type, event_hour, event_count from gold.fct_user_hours"
    )
    assert {tuple(key): count for *key, count in rows} == counts


@pytest.mark.feature("S0-8")
def test_windows_are_tumbling_and_their_users_distinct(built: Build) -> None:
    for table, minutes in (("agg_5min_events", 5), ("agg_hour_events", 60)):
        users: dict[tuple[object, ...], list[str]] = defaultdict(list)
        for *group, occurred_at, user in built.rows(
            "select app_id, family, event_type, coalesce(platform, 'none'), occurred_at, user_id from silver.events"
        ):
            users[(*group, _floor(occurred_at, minutes))].append(user)

        rows = built.rows(
            "select app_id, family, event_type, platform, window_start, window_end, event_hour, event_count, unique_users "
            f"from gold.{table}"
        )
        assert {tuple(row[:5]): row[7:] for row in rows} == {
            group: (len(names), len(set(names))) for group, names in users.items()
        }
        assert all(row[5] - row[4] == timedelta(minutes=minutes) and row[6] == _floor(row[4], 60) for row in rows)


@pytest.mark.feature("S0-8")
def test_a_day_joins_built_hours_with_the_published_other_hours(built: Build) -> None:
    kept = [row for row in world.PUBLISHED_USER_HOURS if row[5] == "2026-01-01" and row[6].hour not in (10, 12)]
    users: dict[tuple[object, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for app_id, family, user, platform, event_type, _, _, count in kept:
        users[(app_id, family, event_type, platform)][user] += count
    for *group, user in built.rows(
        "select app_id, family, event_type, coalesce(platform, 'none'), user_id from silver.events"
    ):
        users[tuple(group)][user] += 1

    rows = built.rows(
        "select app_id, family, event_type, platform, event_count, unique_users, window_start, window_end from gold.agg_day_events"
    )
    assert {tuple(row[:4]): row[4:6] for row in rows} == {
        group: (sum(counts.values()), len(counts)) for group, counts in users.items()
    }
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    assert {row[6:] for row in rows} == {(midnight, midnight + timedelta(days=1))}


def test_only_the_hours_asked_for_are_built(built: Build) -> None:
    hours = {datetime.fromisoformat(hour) for hour in world.BUILT_HOURS}
    for table in (
        "silver.events",
        "silver.duplicates",
        "silver.quarantine",
        "gold.fct_user_hours",
        "gold.agg_hour_events",
    ):
        assert {row[0] for row in built.rows(f"select distinct event_hour from {table}")} <= hours, table


def _floor(moment: datetime, minutes: int) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // (minutes * 60) * (minutes * 60), UTC)
