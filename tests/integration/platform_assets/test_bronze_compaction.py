"""The assets of bronze's compaction and retention as Dagster launches them: in a process of their own, with their own Spark."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_stack.class_archive import archive_file
from local_stack.jars import Jars
from platform_assets.settings import PROJECT_ROOT
from storage.bronze import latest_version
from storage.bronze_files import list_date_files
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import engagement_row, write_bronze

pytestmark = pytest.mark.integration
T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)

# Launches jobs of the code location one after the other, and prints the metadata of each; and whether dagster-pyspark was needed for it.
RUN = """
import json, sys
from platform_assets.definitions import defs
jobs = {"bronze_compaction": "compact_bronze", "bronze_retention": "retain_bronze_files"}
for step in sys.argv[1:]:
    asset, _, how = step.partition(":")
    node = "operations__" + asset
    config = {"ops": {node: {"config": {"dry_run": how == "dry_run"}}}}
    result = defs.resolve_job_def(jobs[asset]).execute_in_process(run_config=config)
    [event] = result.asset_materializations_for_node(node)
    values = {name: value.value for name, value in event.metadata.items()}
    print(json.dumps({**values, "used_dagster_pyspark": "dagster_pyspark" in sys.modules}))
"""


def run(storage: StorageSettings, jars: Jars, *steps: str) -> list[dict[str, Any]]:
    """Metadata of each step, `asset` or `asset:dry_run`."""
    environment = {
        **os.environ,
        "TIDEMARK_STORAGE_DATABASE_URL": storage.database_url,
        "TIDEMARK_STORAGE_BRONZE_URI": storage.bronze_uri,
        "TIDEMARK_STORAGE_EXTENSIONS_DIR": str(storage.extensions_dir),
        "TIDEMARK_STREAMING_JARS": ":".join(str(jar) for jar in jars.spark),
        "TIDEMARK_STREAMING_CLASS_ARCHIVE": str(archive_file()),
        "TIDEMARK_STREAMING_SCRATCH_DIR": str(Path(storage.bronze_uri).parent / "spark"),
        "TIDEMARK_STREAMING_DRIVER_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",
        "TIDEMARK_STREAMING_COMPACT_DATES_PER_RUN": "2",
    }
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, *steps],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-4000:]
    return [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]


@pytest.mark.feature("K7")
def test_a_pass_tells_rewrites_a_bounded_number_of_dates_and_goes_on_the_next_time(
    storage_settings: StorageSettings, jars: Jars
) -> None:
    for offset in range(4):
        write_bronze(
            storage_settings.bronze_uri,
            [engagement_row(10 * offset + day, T0 + timedelta(days=day, minutes=offset)) for day in range(3)],
        )
    version = latest_version(storage_settings)
    assert version is not None
    left_behind = Path(storage_settings.bronze_uri, "event_date=2026-01-05", "part-of-a-crash.parquet")
    left_behind.write_bytes(b"")
    os.utime(left_behind, times=(time.time() - 30 * 86_400,) * 2)

    steps = [
        "bronze_compaction:dry_run",
        *["bronze_compaction"] * 3,
        "bronze_retention:dry_run",
        *["bronze_retention"] * 2,
    ]
    planned, done, rest, nothing, looked, removed, again = run(storage_settings, jars, *steps)

    assert planned["planned_dates"] == ["2026-01-05", "2026-01-06"]
    assert (planned["rewritten_dates"], planned["used_dagster_pyspark"]) == ([], False), "a look starts no Spark"
    assert (done["rewritten_dates"], done["used_dagster_pyspark"]) == (planned["planned_dates"], True)
    assert (done["files_removed"], done["files_added"]) == (8, 2)
    assert rest["rewritten_dates"] == ["2026-01-07"]
    assert nothing["planned_dates"] == nothing["rewritten_dates"] == []
    assert [item.file_count for item in list_date_files(storage_settings)] == [1, 1, 1]
    assert latest_version(storage_settings) == version + 3
    assert (looked["planned_files"], looked["removed_files"]) == (1, 0)
    assert (removed["planned_files"], removed["removed_files"]) == (1, 1), "what was replaced a moment ago stays"
    assert not left_behind.exists()
    assert again["planned_files"] == 0
