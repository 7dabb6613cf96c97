"""Schedules: what they ask for without a person."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.resources.spark import SparkResource
from platform_assets.resources.warehouse import WarehouseResource
from platform_assets.schedules import hourly_compaction, nightly_reconciliation
from tests.fixtures.bronze_rows import engagement_row, write_bronze


@pytest.mark.feature("K4")
def test_the_nightly_reconciliation_is_a_backfill_of_yesterday_alone_and_runs_by_itself() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 1, 1, 30, tzinfo=UTC))
    request = nightly_reconciliation(context)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == request.run_key == "2026-02-28"
    assert request.run_config["ops"]["publish_hours"]["config"] == {"cause": "replay", "compare_first": True}
    assert nightly_reconciliation.default_status == dg.DefaultScheduleStatus.RUNNING
    assert int(request.tags["dagster/priority"]) < 5, "it comes behind what arrives"


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
