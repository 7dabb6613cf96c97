"""Each invariant broken on purpose: the checker fails, under the right invariant, and names the offence."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.control import acknowledged
from storage.verification import Check
from tests.integration.verification.rows import HOUR, engagement, generic, product
from tests.integration.verification.world import World

pytestmark = [pytest.mark.integration, pytest.mark.feature("K10")]
LIVE = "events.raw.v1"


def broken(world: World, name: str, **options: object) -> Check:
    """The failed check of that name; the test fails when it did not."""
    failures = world.failures(**options)
    assert name in failures, f"only {sorted(failures)} failed"
    return failures[name]


# I1


def test_a_gap_in_the_landed_offsets_is_named(world: World) -> None:
    world.send(engagement(1), engagement(2))
    world.land(engagement(0), engagement(3))
    check = broken(world, "kafka_offsets_land_exactly_once")
    assert (check.invariant, check.offending) == ("I1", (f"{LIVE}/0/1-2 is missing",))


def test_a_gap_at_the_start_of_the_log_is_named(world: World) -> None:
    world.send(engagement(0))
    world.land(engagement(1))
    assert broken(world, "kafka_offsets_land_exactly_once").offending == (f"{LIVE}/0/0 is missing",)


def test_an_offset_landed_twice_is_named(world: World) -> None:
    world.land(engagement(0), engagement(1))
    world.land(engagement(1))
    assert f"{LIVE}/0/1 landed 2 times" in broken(world, "kafka_offsets_land_exactly_once").offending


def test_an_acknowledgement_without_a_record_is_named(world: World) -> None:
    # The planted bug "acknowledge before Kafka has it": the ledger counts what the topic does not hold.
    world.land(engagement(0))
    world.send(engagement(1))
    acknowledged.add(world.engine, [("public", HOUR, LIVE, 3)])
    check = broken(world, "acknowledged_events_are_held")
    assert check.invariant == "I1"
    assert check.offending == (
        "app public, received 2026-02-01T10:00Z, events.raw.v1: 3 acknowledged, 2 landed or waiting in Kafka",
    )


def test_a_receipt_without_its_event_is_named(world: World, tmp_path: Path) -> None:
    world.land(engagement(0))
    world.send(engagement(1))
    receipts = tmp_path / "receipts.ndjson"
    lines = [f'{{"app_id": "public", "event_id": "{event}"}}' for event in ("e0", "e1", "lost")]
    receipts.write_text("\n".join([*lines, '{"app_id": "public", "eve']))
    check = broken(world, "receipts_are_held", receipts=[receipts])
    assert (check.invariant, check.offending) == ("I1", ("public/lost is acknowledged and nowhere",))


@pytest.mark.parametrize("line", ["not json", '{"app": "public", "id": "e0"}'])
def test_a_line_that_is_no_receipt_is_named(world: World, tmp_path: Path, line: str) -> None:
    # Regression: such lines were passed over, so that a file in another form said that all its 0 receipts are held.
    world.land(engagement(0))
    receipts = tmp_path / "receipts.ndjson"
    receipts.write_text(f'{{"app_id": "public", "event_id": "e0"}}\n{line}\n')
    check = broken(world, "receipts_are_held", receipts=[receipts])
    assert check.offending == ("1 lines are no receipts with an app_id and an event_id",)


def test_rows_lost_behind_the_newest_one_are_no_lag(world: World) -> None:
    # Regression: what a publication says it has read and bronze does not have was said to be still to land.
    world.send(engagement(1))
    version = world.land(engagement(0))
    world.publish(version, highest_offsets={LIVE: {"0": 1, "1": 4}})
    check = broken(world, "published_offsets_landed")
    assert check.invariant == "I1"
    assert check.offending == (
        f"{LIVE}/0/1-1 is published as read, and not in bronze",
        f"{LIVE}/1/0-4 is published as read, and not in bronze",
    )


def test_records_that_were_deleted_before_they_landed_are_named(world: World) -> None:
    world.land(engagement(0))
    world.send(engagement(9))
    world.kafka.log_start = 5
    check = broken(world, "kafka_offsets_land_exactly_once")
    assert check.offending == (f"{LIVE}/0/1-4 is neither in bronze nor in Kafka: deleted before it landed",)


# I2


def test_an_event_that_silver_lost_is_named(world: World) -> None:
    version = world.land(engagement(0), engagement(1))
    world.publish(version, tamper="delete from lake.silver.events where kafka_offset = 1")
    check = broken(world, "landed_events_are_in_silver_once")
    assert (check.invariant, check.offending) == ("I2", (f"{LIVE}/0/1 is in no silver table",))


def test_an_event_in_silver_and_in_quarantine_is_named(world: World) -> None:
    version = world.land(engagement(0), engagement(1))
    tamper = (
        "insert into lake.silver.quarantine by name select kafka_topic, kafka_partition, kafka_offset, app_id, event_id, event_date, "
        "event_hour from lake.silver.events where kafka_offset = 1"
    )
    world.publish(version, tamper=tamper)
    assert broken(world, "landed_events_are_in_silver_once").offending == (
        f"{LIVE}/0/1 is in silver 2 times: events, quarantine",
    )


def test_a_switched_off_deduplication_is_named(world: World) -> None:
    version = world.land(engagement(0), engagement(1, event_id="e0"))
    world.publish(
        version,
        tamper="delete from lake.silver.duplicates; "
        "insert into lake.silver.events by name select * replace (1 as kafka_offset) from lake.silver.events",
    )
    check = broken(world, "event_ids_are_unique_within_the_horizon")
    assert check.invariant == "I2"
    assert check.offending[0].startswith("public/e0 occurred at")
    assert "must be in duplicates, is in events" in broken(world, "silver_equals_recomputation").offending[0]


def test_hours_that_nobody_noticed_are_offences_not_waiting(world: World) -> None:
    version = world.land(engagement(0), engagement(1, minutes=61))
    world.publish(version, [HOUR])
    world.engine.connect().close()
    with world.engine.begin() as connection:
        connection.exec_driver_sql("delete from control.hours where hour <> timestamptz '2026-02-01 10:00+00'")
    assert broken(world, "landed_events_are_in_silver_once").offending == (f"{LIVE}/0/1 is in no silver table",)


def test_a_batch_stamped_out_of_order_is_named(world: World) -> None:
    world.land(engagement(1))
    world.clock -= timedelta(hours=1)
    world.land(engagement(2))
    check = broken(world, "ingested_at_follows_landing_order")
    assert check.offending[0].startswith(f"{LIVE}/0/1 is stamped")


# I3


def test_a_silver_row_out_of_nowhere_is_named(world: World) -> None:
    version = world.land(engagement(0))
    tamper = "insert into lake.silver.events by name select * replace (99 as kafka_offset) from lake.silver.events"
    world.publish(version, tamper=tamper)
    check = broken(world, "silver_rows_come_from_bronze")
    assert (check.invariant, check.offending) == ("I3", (f"events {LIVE}/0/99 is not in bronze",))


@pytest.mark.parametrize(
    "change", ["occurred_at = occurred_at + interval 1 second", "app_id = 'other'", "payload_hash = 'x'"]
)
def test_a_silver_row_with_other_stamps_is_named(world: World, change: str) -> None:
    version = world.land(engagement(0), engagement(1))
    world.publish(version, tamper=f"update lake.silver.events set {change} where kafka_offset = 1")
    assert broken(world, "silver_rows_come_from_bronze").offending == (f"events {LIVE}/0/1 differs from bronze",)


@pytest.mark.parametrize(
    "change",
    ["event_id = 'other'", "app_id = 'other'", "event_type = 'other'", "contract = 'generic/1'"]
    + [f"{name} = {name} + interval 1 second" for name in ("occurred_at", "received_at")],
)
def test_a_stamp_that_its_own_header_does_not_say_is_named(world: World, change: str) -> None:
    tamper = f"update landed set {change} where kafka_offset = 1"
    world.land(engagement(0), engagement(1, has_headers=True), tamper=tamper)
    check = broken(world, "stamps_equal_record_headers")
    assert (check.invariant, check.offending) == ("I3", (f"{LIVE}/0/1 carries other stamps than its headers",))


@pytest.mark.parametrize("stamp", ["event_id", "event_type", "contract", "occurred_at", "received_at"])
def test_a_good_record_that_lacks_a_stamp_is_named(world: World, stamp: str) -> None:
    world.land(engagement(0), engagement(1), tamper=f"update landed set {stamp} = null where kafka_offset = 1")
    assert "stamps_equal_record_headers" in world.failures()


@pytest.mark.parametrize("has_headers", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        "key = 'other'::blob",
        "key = null",
        "value = value || ' '::blob",
        "value = null",
        "headers = [struct_pack(key := 'ce_id', value := 'e1'::blob)]",
        "headers = []",
    ],
)
def test_a_row_that_is_not_its_record_is_named(world: World, change: str, has_headers: bool) -> None:
    tamper = f"update landed set {change} where kafka_offset = 1"
    world.land(engagement(0), engagement(1, has_headers=has_headers), engagement(2), tamper=tamper)
    check = broken(world, "newest_rows_equal_their_records")
    assert (check.invariant, check.offending) == ("I3", (f"{LIVE}/0/1 is not what Kafka holds",))


@pytest.mark.parametrize(
    "change",
    [f"{name} = 'other'" for name in ("event_id", "app_id", "event_type", "contract")]
    + [f"{name} = {name} + interval 1 microsecond" for name in ("occurred_at", "received_at")],
)
def test_a_stamp_that_the_record_does_not_say_is_named(world: World, change: str) -> None:
    world.land(engagement(0), engagement(1), tamper=f"update landed set {change} where kafka_offset = 1")
    assert broken(world, "newest_rows_equal_their_records").offending == (f"{LIVE}/0/1 is not what Kafka holds",)


def test_rows_are_compared_with_what_kafka_still_holds_and_no_further_back_than_the_sample(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.verification.landing.SAMPLE", 2)
    world.land(*[engagement(number) for number in range(5)], tamper="update landed set key = null")
    world.kafka.rows = [row for row in world.kafka.rows if row.kafka_offset >= 1]
    world.kafka.log_start = 1
    assert broken(world, "newest_rows_equal_their_records").offending == tuple(
        f"{LIVE}/0/{offset} is not what Kafka holds" for offset in (3, 4)
    )
    monkeypatch.undo()
    assert broken(world, "newest_rows_equal_their_records").offending == tuple(
        f"{LIVE}/0/{offset} is not what Kafka holds" for offset in (1, 2, 3, 4)
    )


def test_bronze_rows_beyond_kafkas_end_are_named(world: World) -> None:
    world.land(engagement(0), engagement(1), sent=False)
    world.send(engagement(0))
    check = broken(world, "bronze_rows_come_from_kafka")
    assert check.invariant == "I3"
    assert check.offending == (f"{LIVE}/0 landed up to offset 1, Kafka ends before 1",)


def test_a_duplicate_whose_winner_landed_later_is_named(world: World) -> None:
    version = world.land(engagement(0), engagement(1, event_id="e0"), engagement(2, event_id="e0"))
    world.publish(version, tamper="update lake.silver.duplicates set winner_offset = 2 where kafka_offset = 1")
    check = broken(world, "duplicates_name_an_earlier_winner")
    assert (check.invariant, check.offending) == ("I3", (f"{LIVE}/0/1 names a winner {LIVE}/0/2 that is none",))


# I4


@pytest.mark.parametrize("table", ["fct_user_hours", "agg_5min_events", "agg_hour_events", "agg_day_events"])
def test_a_changed_gold_count_is_named(world: World, table: str) -> None:
    version = world.land(engagement(0), engagement(1, user="u2"))
    world.publish(version, tamper=f"update lake.gold.{table} set event_count = event_count + 1")
    check = broken(world, f"{table}_equal_recomputation")
    assert check.invariant == "I4"
    assert any(offence.startswith("published, but not so: {'app_id': public") for offence in check.offending)
    assert set(world.failures()) == {f"{table}_equal_recomputation"}


@pytest.mark.parametrize("table", ["agg_5min_events", "agg_hour_events", "agg_day_events"])
def test_uniques_that_are_sums_are_named(world: World, table: str) -> None:
    version = world.land(engagement(0), engagement(1))
    world.publish(version, tamper=f"update lake.gold.{table} set unique_users = event_count")
    assert set(world.failures()) == {f"{table}_equal_recomputation"}


def test_a_gold_row_that_is_there_twice_is_named(world: World) -> None:
    version = world.land(engagement(0))
    world.publish(version, tamper="insert into lake.gold.agg_hour_events from lake.gold.agg_hour_events")
    assert set(world.failures()) == {"agg_hour_events_equal_recomputation"}


@pytest.mark.parametrize("column", ["first_exposed_at = first_exposed_at + interval 1 second", "variant = 'B'"])
def test_a_changed_exposure_is_named(world: World, column: str) -> None:
    version = world.land(product(0), product(1, minutes=5), product(2, user="u2", body={"variant": "B"}))
    world.publish(version, tamper=f"update lake.silver.experiment_exposures set {column} where user_id = 'u1'")
    check = broken(world, "experiment_exposures_equal_recomputation")
    assert check.invariant == "I4"
    assert set(world.failures()) == {"experiment_exposures_equal_recomputation"}


@pytest.mark.parametrize("change", ["location = 'x'", "metadata = null", "content_id = 'post-2'"])
def test_a_changed_field_of_an_event_is_named(world: World, change: str) -> None:
    body = {"content_id": "post-1", "session_id": "s", "location": None, "metadata": {"a": "1, é", "b": ""}}
    version = world.land(engagement(0, body=body), generic(1))
    world.publish(version)
    assert world.failures() == {}
    world.publish(version, tamper=f"update lake.silver.events set {change} where kafka_offset = 0")
    assert set(world.failures()) == {"silver_equals_recomputation"}


def test_the_payload_of_another_event_is_named(world: World) -> None:
    version = world.land(generic(0))
    world.publish(version, tamper="update lake.silver.events set payload = '{\"total\":4}'")
    assert set(world.failures()) == {"silver_equals_recomputation"}


def test_a_wrong_winner_or_flag_is_named(world: World) -> None:
    version = world.land(engagement(0), engagement(1, event_id="e0"))
    world.publish(version, tamper="update lake.silver.duplicates set payload_differs = not payload_differs")
    assert set(world.failures()) == {"silver_equals_recomputation"}


# I5


def test_a_publication_that_read_less_is_named(world: World) -> None:
    first = world.land(engagement(0))
    world.publish(first)
    second = world.land(engagement(1))
    world.publish(second)
    world.publish(second, bronze_version=first, highest_offsets={LIVE: {"0": 0}})
    check = broken(world, "publications_only_go_forward")
    assert check.invariant == "I5"
    assert check.offending == (
        f"publication 3: {LIVE}/0 went back from offset 1 to 0",
        "publication 3: read bronze 0 after 1",
    )


def test_a_publication_on_another_base_is_named(world: World) -> None:
    world.publish(world.land(engagement(0)))
    world.publish(world.land(engagement(1)))
    world.publish(world.land(engagement(2)), base_publication_id=1)
    assert broken(world, "publications_only_go_forward").offending == ("publication 3: is based on 1, not on 2",)


def test_half_a_publication_is_named(world: World) -> None:
    world.publish(world.land(engagement(0)))
    changes = {"silver.events": {"added": 2, "removed": 0}, "gold.agg_day_events": {"added": 1, "removed": 1}}
    world.publish(world.land(engagement(1)), changes=changes)
    check = broken(world, "kept_publications_open_whole")
    assert (check.invariant, check.offending) == ("I5", ("publication 2: silver.events grew by 1 rows, not by 2",))


def test_a_kept_publication_whose_file_is_gone_is_named(world: World) -> None:
    world.publish(world.land(engagement(0)))
    files = set(Path(world.settings.lake_uri).rglob("silver/events/**/*.parquet"))
    world.publish(world.land(engagement(1)))
    for file in files:
        file.unlink()
    offending = broken(world, "kept_publications_open_whole").offending
    assert [text.startswith("publication 1: its snapshot") and text.endswith("gone") for text in offending] == [True]


# I6


def test_an_hour_with_something_left_over_is_named(world: World) -> None:
    version = world.land(engagement(0), engagement(1), engagement(2, minutes=61))
    world.publish(version, tamper="delete from lake.silver.events where kafka_offset = 1")
    check = broken(world, "offsets_are_conserved_by_event_hour")
    assert check.invariant == "I6"
    assert check.offending == ("app public, hour 2026-02-01T10:00Z: 2 landed, 1 silver + 0 duplicates + 0 quarantined",)
    received = broken(world, "events_are_conserved_by_received_hour")
    assert received.offending[0].startswith("app public, received 2026-02-01T10:00Z: 2 landed, 1 on time + 0 late")


# Redrives


def publish_redrive(world: World, tamper: str = "", **changes: Any) -> None:
    """A record that was rejected, and the event that recovers it."""
    row = {"event_id": "again", "redrive_of": "events.dlq.v1/0/0", **changes}
    world.publish(
        world.land(engagement(0, kafka_topic="events.dlq.v1", dlq_stage="edge", rejection_reason="missing_field"))
    )
    world.publish(world.land(engagement(0, **row)), tamper=tamper)


@pytest.mark.feature("S2-F1")
def test_a_record_that_was_recovered_twice_is_named(world: World) -> None:
    # Under two ids, so that deduplication cannot help: as a redrive without a journal would do.
    publish_redrive(world)
    world.publish(world.land(engagement(1, event_id="another", redrive_of="events.dlq.v1/0/0")))
    check = broken(world, "quarantined_records_are_recovered_once")
    assert check.invariant == "I2"
    assert check.offending == (f"quarantined events.dlq.v1/0/0 is in silver.events 2 times: {LIVE}/0/0, {LIVE}/0/1",)


@pytest.mark.parametrize("changes", [{"redrive_of": "events.dlq.v1/0/9"}, {"app_id": "another"}])
def test_a_recovered_event_without_an_origin_is_named(world: World, changes: dict[str, Any]) -> None:
    publish_redrive(world, **changes)
    check = broken(world, "redrives_name_an_earlier_record")
    assert (check.invariant, len(check.offending)) == ("I3", 1)


@pytest.mark.parametrize(
    "tamper", ["delete from lake.silver.redrives", "update lake.silver.redrives set origin_offset = 7"]
)
def test_a_redrive_that_is_published_otherwise_is_named(world: World, tamper: str) -> None:
    publish_redrive(world, tamper)
    assert broken(world, "redrives_equal_recomputation").invariant == "I4"
