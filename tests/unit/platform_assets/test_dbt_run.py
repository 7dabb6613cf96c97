"""What dbt's results say of a build that failed: rows that a check refused, or nodes that could not run."""

import json
from pathlib import Path

from platform_assets.dbt_run import BuildFailedError, read_failures
from platform_assets.growth import BROKEN_CHECK, FAILED_CHECK, MODEL

RESULTS = {
    "test.tidemark.totals.1": "error",
    "model.tidemark.int_published_records": "error",
    "test.tidemark.ids.2": "fail",
    "model.tidemark.events": "skipped",
    "test.tidemark.days.3": "pass",
}


def test_a_check_that_refused_rows_is_told_from_one_that_could_not_run(tmp_path: Path) -> None:
    results = [{"unique_id": name, "status": status} for name, status in RESULTS.items()]
    (tmp_path / "run_results.json").write_text(json.dumps({"results": results}))

    failed = list(read_failures(tmp_path))

    assert [(node.kind, node.name) for node in failed] == [
        (BROKEN_CHECK, "totals"),
        (MODEL, "int_published_records"),
        (FAILED_CHECK, "ids"),
    ]
    assert BuildFailedError(failed, {}, []).blocked_by == "check ids"
