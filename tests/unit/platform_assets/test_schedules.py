"""Schedules: what they ask for without a person."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from platform_assets.schedules import nightly_reconciliation


@pytest.mark.feature("K4")
def test_the_nightly_reconciliation_is_a_backfill_of_yesterday_alone_and_runs_by_itself() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 1, 1, 30, tzinfo=UTC))
    request = nightly_reconciliation(context)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == request.run_key == "2026-02-28"
    assert request.run_config["ops"]["publish_hours"]["config"] == {"cause": "replay", "compare_first": True}
    assert nightly_reconciliation.default_status == dg.DefaultScheduleStatus.RUNNING
    assert int(request.tags["dagster/priority"]) < 5, "it comes behind what arrives"
