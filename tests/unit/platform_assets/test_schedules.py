"""Schedules: what they ask for without a person."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.resources.spark import SparkResource
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.schedules import hourly_compaction, nightly_reconciliation
from tests.fixtures.bronze_rows import engagement_row, write_bronze


def ask_for_the_night(at: datetime) -> list[dg.RunRequest]:
    context = dg.build_schedule_context(scheduled_execution_time=at, resources={"warehouse": WarehouseResource()})
    answer = nightly_reconciliation(context)
    if isinstance(answer, dg.SkipReason):
        return []
    assert isinstance(answer, list)
    return answer


@pytest.mark.feature("K4")
def test_the_nightly_reconciliation_is_a_backfill_of_yesterday_alone_and_runs_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, uri = datetime(2026, 3, 1, 1, 30, tzinfo=UTC), str(tmp_path / "bronze")
    monkeypatch.setenv("TIDEMARK_STORAGE_BRONZE_URI", uri)
    assert ask_for_the_night(at) == [], "there is no table yet"
    write_bronze(uri, [engagement_row(0, at - timedelta(days=1)), engagement_row(1, at)])
    (request,) = ask_for_the_night(at)
    assert request.partition_key == request.run_key == "2026-02-28"
    assert request.run_config["ops"]["publish_hours"]["config"] == {"cause": "replay", "compare_first": True}
    assert nightly_reconciliation.default_status == dg.DefaultScheduleStatus.RUNNING
    assert int(request.tags["dagster/priority"]) < 5, "it comes behind what arrives"


@pytest.mark.feature("K4")
def test_a_day_with_many_records_is_reconciled_in_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Regression: the whole day was one build, which held the only place for builds as long as it took, and was killed after an hour.
    midnight, uri = datetime(2026, 2, 28, tzinfo=UTC), str(tmp_path / "bronze")
    monkeypatch.setenv("TIDEMARK_STORAGE_BRONZE_URI", uri)
    monkeypatch.setenv("TIDEMARK_PLATFORM_MAX_ROWS_PER_LATE_RUN", "1000")
    hours = [midnight + timedelta(hours=hour) for hour in (9, 10, 11)]
    write_bronze(uri, [engagement_row(index, hours[index % 3]) for index in range(1_200)])
    requests = ask_for_the_night(midnight + timedelta(days=1, hours=1, minutes=30))
    parts = [request.run_config["ops"]["publish_hours"]["config"]["hours"] for request in requests]
    assert [hour for part in parts for hour in part] == [f"2026-02-28T{hour:02}:00:00Z" for hour in range(24)]
    assert [len(part) for part in parts] == [10, 1, 13], "of 400 records each, one fits: a part is built twice"
    assert [request.partition_key for request in requests] == ["2026-02-28"] * 3
    assert len({request.run_key for request in requests}) == 3
    assert all(request.run_config["ops"]["publish_hours"]["config"]["compare_first"] for request in requests)


@pytest.mark.feature("K4")
def test_compaction_is_asked_for_only_when_a_closed_date_is_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, uri = datetime(2026, 3, 1, 1, 50, tzinfo=UTC), str(tmp_path / "bronze")
    monkeypatch.setenv("TIDEMARK_STORAGE_BRONZE_URI", uri)

    def evaluate() -> dg.RunRequest | dg.SkipReason:
        context = dg.build_schedule_context(
            scheduled_execution_time=at, resources={"warehouse": WarehouseResource(), "spark": SparkResource()}
        )
        answer = hourly_compaction(context)
        assert isinstance(answer, dg.RunRequest | dg.SkipReason)
        return answer

    assert isinstance(evaluate(), dg.SkipReason), "there is no table yet"
    for offset in range(3):
        write_bronze(uri, [engagement_row(offset, datetime.now(UTC))])
    assert isinstance(evaluate(), dg.SkipReason), "the open date is landing's"
    for offset in range(3, 5):
        write_bronze(uri, [engagement_row(offset, at - timedelta(days=1))])
    assert isinstance(evaluate(), dg.SkipReason), "twice the ideal is not worth it"
    write_bronze(uri, [engagement_row(5, at - timedelta(days=1))])
    request = evaluate()
    assert isinstance(request, dg.RunRequest)
    assert int(request.tags["dagster/priority"]) < -5, "it comes behind what arrives, and behind replays"
    monkeypatch.setenv("TIDEMARK_STORAGE_BRONZE_URI", "s3://bucket/bronze")
    assert isinstance(evaluate(), dg.SkipReason), "an object store has no lock that both drivers know"
