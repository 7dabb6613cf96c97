"""Kafka offsets are re-read into a bronze of their own: the same rows as landing made of them, and nothing else changes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion.contracts.topics import IMPORT_TOPIC, LIVE_TOPIC
from storage.control.replays import ReplayRange
from streaming.errors import ConfigurationError
from streaming.replay import OffsetRange, check_held, find_offsets, read_offsets, write_scratch_bronze
from tests.integration.streaming.landing_bench import LandingBench, produce, produce_events, read_commits

pytestmark = pytest.mark.integration
DAY = timedelta(days=1)


def rows(frame: Any, condition: str = "true") -> list[Any]:
    """All columns but the stamp, which is the replay's own."""
    return sorted(frame.where(condition).drop("ingested_at").collect(), key=lambda row: row[:3])


@pytest.mark.feature("S1-5", "S1-11")
def test_any_range_of_offsets_is_read_again_as_landing_read_it(bench: LandingBench, tmp_path: Path) -> None:
    bootstrap = bench.storage.kafka_bootstrap_servers
    now = datetime.now(UTC)
    produce_events(bootstrap, IMPORT_TOPIC, 60, days=3)
    produce_events(bootstrap, LIVE_TOPIC, 40)
    ((bad_partition, bad_offset),) = produce(bootstrap, [(LIVE_TOPIC, b"u", b"{not json", None)])
    bench.land_all()
    landed = bench.spark.read.format("delta").load(bench.storage.bronze_uri)
    commits = len(read_commits(bench.storage.bronze_uri))

    offsets = OffsetRange(LIVE_TOPIC, bad_partition, max(0, bad_offset - 3), bad_offset + 1)
    target = str(tmp_path / "offsets")
    for _ in range(2):  # the same offsets again are the same table
        again = write_scratch_bronze(bench.spark, read_offsets(bench.spark, bench.storage, [offsets], None), target)
        assert again == offsets.end - offsets.first
    scratch = bench.spark.read.format("delta").load(target)
    place = f"kafka_topic = '{LIVE_TOPIC}' and kafka_partition = {bad_partition} and kafka_offset >= {offsets.first}"
    assert rows(scratch) == rows(landed, f"{place} and kafka_offset < {offsets.end}")
    assert [row.rejection_reason for row in scratch.where(f"kafka_offset = {bad_offset}").collect()] == [
        "missing_header"
    ]
    assert scratch.where("ingested_at <> kafka_timestamp").count() == 0

    # A day of the past, wherever its records lie: found by Kafka's timestamps, chosen by the records' own hours.
    first = (now - 2 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    wanted = ReplayRange(first, first + DAY, "app-1", "click")
    ranges = find_offsets(bootstrap, [LIVE_TOPIC, IMPORT_TOPIC], first)
    day = read_offsets(bench.spark, bench.storage, ranges, wanted)
    condition = f"event_date = date '{first:%Y-%m-%d}' and app_id = 'app-1' and event_type = 'click'"
    found = rows(day)
    assert found == rows(landed, condition)
    assert found, "the day must have records, or this proves nothing"
    assert find_offsets(bootstrap, [LIVE_TOPIC], now + DAY) == []
    assert len(read_commits(bench.storage.bronze_uri)) == commits, "live bronze is not touched"


def test_offsets_that_kafka_does_not_hold_are_refused_with_the_way_out(bench: LandingBench) -> None:
    bootstrap = bench.storage.kafka_bootstrap_servers
    with pytest.raises(ConfigurationError, match="--source bronze"):
        check_held(bootstrap, [OffsetRange(LIVE_TOPIC, 0, 0, 10**9)])
    with pytest.raises(ConfigurationError, match="no partition 99"):
        check_held(bootstrap, [OffsetRange(LIVE_TOPIC, 99, 0, 1)])
