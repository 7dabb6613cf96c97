"""The checker on a platform where nothing is wrong: it says so, and counts exactly."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.verification.rows import HOUR, engagement, generic, product
from tests.integration.verification.world import StampedRow, World

pytestmark = [pytest.mark.integration, pytest.mark.feature("K10")]


def test_an_empty_platform_is_sound(world: World) -> None:
    report = world.verify()
    assert report.ok, report.failed
    assert report.counts["landed"] == 0
    assert report.counts["publications"] == 0


def test_what_waits_is_counted_and_is_no_offence(world: World) -> None:
    world.land(engagement(0), engagement(1), seen=False)
    world.send(engagement(2))
    report = world.verify()
    assert report.ok, report.failed
    assert report.counts["accepted"] == 3
    assert report.counts["waiting_to_land"] == 1
    assert report.counts["landed"] == 2
    assert report.counts["waiting_to_publish"] == 2


def test_counts_are_exact(world: World) -> None:
    version = world.land(
        engagement(0, user="a"),
        engagement(1, user="b", minutes=20),
        engagement(2, event_id="e1", minutes=21),
        engagement(3, received_at=HOUR + timedelta(days=2)),
        engagement(4, value=b"{", event_id="bad"),
        engagement(5, rejection_reason="bad_occurred_at", occurred_at=None),
        engagement(0, kafka_topic="events.dlq.v1", dlq_stage="edge", rejection_reason="missing_field"),
        engagement(1, kafka_topic="events.dlq.v1", dlq_stage="consumer", rejection_reason="sink_failed"),
        generic(0, kafka_topic="events.import.v1"),
    )
    world.publish(version)
    report = world.verify()
    assert report.ok, report.failed
    expected = {
        "accepted": 7,
        "dead_letters": 2,
        "landed": 8,
        "pointers": 1,
        "silver": 4,
        "duplicates": 1,
        "quarantined": 3,
        "quarantined_by_reason": {"bad_occurred_at": 1, "malformed_json": 1, "missing_field": 1},
        "late": 1,
        "published": 4,
        "waiting_to_land": 0,
        "waiting_to_publish": 0,
    }
    assert {name: report.counts[name] for name in expected} == expected


def test_a_dirty_hour_is_compared_as_it_was_published(world: World) -> None:
    first = world.land(engagement(0), engagement(1, minutes=61))
    world.publish(first)
    world.land(engagement(2, minutes=5), engagement(3, event_id="e0", minutes=70))
    report = world.verify()
    assert report.ok, report.failed
    assert report.counts["waiting_to_publish"] == 2


def test_hours_published_at_different_versions_are_sound(world: World) -> None:
    first = world.land(engagement(0), engagement(1, minutes=61))
    world.publish(first)
    second = world.land(engagement(2, minutes=5), engagement(3, event_id="e0", minutes=70))
    world.publish(second, [HOUR])
    report = world.verify()
    assert report.ok, report.failed
    assert report.counts["waiting_to_publish"] == 1
    world.publish(second, [HOUR + timedelta(hours=1)])
    report = world.verify()
    assert report.ok, report.failed
    assert report.counts["waiting_to_publish"] == 0
    assert report.counts["duplicates"] == 1


def test_a_copy_beyond_the_horizon_is_named_and_is_no_offence(world: World) -> None:
    far = datetime(2026, 2, 20, 10, tzinfo=UTC)
    version = world.land(engagement(0, event_id="twin"), engagement(1, event_id="twin", occurred_at=far))
    world.publish(version)
    report = world.verify()
    assert report.ok, report.failed
    assert report.counts["copies_beyond_horizon"] == 1
    detail = next(check.detail for check in report.checks if check.name == "event_ids_are_unique_within_the_horizon")
    assert "public/twin" in detail


def test_a_chain_of_copies_follows_the_rule(world: World) -> None:
    # b is a copy of a; c is too far from a, but near b, which is valid though itself a duplicate: c is a copy of b.
    version = world.land(
        *(engagement(offset, event_id="twin", occurred_at=HOUR + timedelta(days=5 * offset)) for offset in range(3))
    )
    world.publish(version)
    report = world.verify()
    assert report.ok, report.failed
    assert report.counts["duplicates"] == 2


def test_only_the_newest_days_are_compared_when_asked(world: World) -> None:
    version = world.land(engagement(0), engagement(1, minutes=60 * 24), engagement(2, minutes=60 * 48))
    world.publish(version, tamper="delete from lake.silver.events where kafka_offset = 0")
    assert not world.verify().ok
    report = world.verify(newest_days=2)
    assert report.ok, report.failed
    assert report.counts["days_checked"] == 2


def test_bytes_that_are_no_text_are_quarantined_rows_like_others(world: World) -> None:
    # Regression: a rejected value with bad UTF-8 stopped the checker with a ConversionException.
    version = world.land(
        engagement(0, value=b'{"user_id": "\xff\xfe"}', rejection_reason="invalid_utf8"),
        engagement(1, value=b"\xff"),
        engagement(2, value=b'{"user_id": "\\ud800"}', rejection_reason="invalid_utf8"),
        engagement(3, value=None, rejection_reason="empty_value"),
    )
    world.publish(version)
    report = world.verify()
    assert report.ok, report.failed
    assert report.counts["quarantined"] == 4


def redrive(offset: int, of: str, **changes: Any) -> StampedRow:
    return engagement(offset, event_id=f"recovered-{of}", redrive_of=of, **changes)


@pytest.mark.feature("S2-5", "S2-F1")
def test_recovered_events_add_up_and_keep_their_quarantine_rows(world: World) -> None:
    first = world.land(
        engagement(0, kafka_topic="events.dlq.v1", dlq_stage="edge", rejection_reason="missing_field", minutes=5),
        engagement(0, value=b"{", event_id="bad", minutes=5),
        engagement(1, app_id="unknown", event_id=None, rejection_reason="missing_header", minutes=5),
    )
    world.publish(first)
    second = world.land(
        redrive(2, "events.dlq.v1/0/0", minutes=70),
        redrive(3, "events.dlq.v1/0/0", minutes=70),  # as after a kill: a copy, which counts once
        redrive(4, "events.raw.v1/0/0"),
        redrive(5, "events.raw.v1/0/1"),
        redrive(6, "not/a/place"),  # some other producer's header: nothing is recovered by it
    )
    world.publish(second)
    report = world.verify()
    assert report.ok, report.failed
    expected = {"landed": 8, "quarantined": 3, "redriven": 3, "silver": 4, "duplicates": 1, "published": 4}
    assert {name: report.counts[name] for name in expected} == expected


@pytest.mark.parametrize("table", ["silver.redrives", "silver.experiment_exposures", "gold.agg_hour_download_errors"])
def test_a_publication_from_before_a_table_was_published_is_sound(world: World, table: str) -> None:
    # Regression: after an upgrade the newest publication is older than the table.
    version = world.land(engagement(0))
    world.publish(version, tamper=f"drop table lake.{table}")
    report = world.verify()
    assert report.ok, report.failed
    assert report.counts["redriven"] == 0


def test_hours_from_before_a_table_was_published_are_named_where_it_would_have_rows(world: World) -> None:
    version = world.land(product(0))
    world.publish(version, tamper="drop table lake.silver.experiment_exposures")
    [check] = world.failures().values()
    assert check.name == "experiment_exposures_equal_recomputation"
    assert check.offending[0].startswith("not published: {'app_id': public, 'experiment_id': checkout")


def test_a_table_that_came_after_a_publication_is_not_missed_in_it(world: World) -> None:
    world.publish(world.land(engagement(0)))
    world.publish(world.land(engagement(1)), tamper="create table lake.silver.later as select 1 as number")
    report = world.verify()
    assert report.ok, report.failed
