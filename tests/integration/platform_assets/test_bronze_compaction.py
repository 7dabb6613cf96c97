"""The assets of bronze's compaction and retention as Dagster launches them: in a process of their own, with their own Spark."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_stack.jars import Jars
from platform_assets.settings import PROJECT_ROOT
from storage.bronze import latest_version
from storage.bronze_files import list_date_files
from storage.settings import StorageSettings
from tests.fixtures.bronze_rows import engagement_row, write_bronze

pytestmark = pytest.mark.integration
T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)

# What `dagster asset materialize` does, and prints the metadata; the modules are told, because dagster-pyspark must have made the session.
RUN = """
import json, sys
import dagster as dg
from platform_assets.definitions import defs
key, dry_run = sys.argv[1], sys.argv[2] == "dry"
job = {"bronze_compaction": "compact_bronze", "bronze_retention": "retain_bronze_files"}[key]
config = {"ops": {"operations__" + key: {"config": {"dry_run": dry_run}}}}
result = defs.resolve_job_def(job).execute_in_process(run_config=config)
[event] = result.asset_materializations_for_node("operations__" + key)
values = {name: value.value for name, value in event.metadata.items()}
print(json.dumps({**values, "by_dagster_pyspark": "dagster_pyspark" in sys.modules}))
"""


def run(storage: StorageSettings, jars: Jars, asset: str, *, dry_run: bool = False) -> dict[str, Any]:
    environment = {
        **os.environ,
        "TIDEMARK_STORAGE_DATABASE_URL": storage.database_url,
        "TIDEMARK_STORAGE_BRONZE_URI": storage.bronze_uri,
        "TIDEMARK_STORAGE_EXTENSIONS_DIR": str(storage.extensions_dir),
        "TIDEMARK_STREAMING_JARS": ":".join(str(jar) for jar in jars.spark),
        "TIDEMARK_STREAMING_SCRATCH_DIR": str(Path(storage.bronze_uri).parent / "spark"),
        "TIDEMARK_STREAMING_DRIVER_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",
        "TIDEMARK_STREAMING_COMPACT_DATES_PER_RUN": "2",
    }
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, asset, "dry" if dry_run else "real"],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-4000:]
    values: dict[str, Any] = json.loads(answer.stdout.strip().splitlines()[-1])
    return values


@pytest.mark.feature("K7")
@pytest.mark.feature("S4-20")
def test_a_pass_tells_rewrites_a_bounded_number_of_dates_and_goes_on_the_next_time(
    storage_settings: StorageSettings, jars: Jars
) -> None:
    for offset in range(9):
        write_bronze(
            storage_settings.bronze_uri,
            [engagement_row(10 * offset + day, T0 + timedelta(days=day, minutes=offset)) for day in range(3)],
        )
    version = latest_version(storage_settings)
    assert version is not None

    planned = run(storage_settings, jars, "bronze_compaction", dry_run=True)
    assert planned["planned_dates"] == ["2026-01-05", "2026-01-06"]
    assert planned["rewritten_dates"] == []
    assert not planned["by_dagster_pyspark"], "a look starts no Spark"
    assert latest_version(storage_settings) == version

    done = run(storage_settings, jars, "bronze_compaction")
    assert done["by_dagster_pyspark"]
    assert done["rewritten_dates"] == ["2026-01-05", "2026-01-06"]
    assert (done["files_removed"], done["files_added"]) == (18, 2)
    assert [item.file_count for item in list_date_files(storage_settings)] == [1, 1, 9]

    rest = run(storage_settings, jars, "bronze_compaction")
    assert rest["rewritten_dates"] == ["2026-01-07"]
    assert run(storage_settings, jars, "bronze_compaction")["planned_dates"] == []
    assert latest_version(storage_settings) == version + 3

    kept = run(storage_settings, jars, "bronze_retention")
    assert (kept["planned_files"], kept["removed_files"]) == (0, 0), "they are younger than a week"
    old = (datetime.now(UTC) - timedelta(days=30)).timestamp()
    orphan = Path(storage_settings.bronze_uri, "event_date=2026-01-05", "part-of-a-crash.parquet")
    orphan.write_bytes(b"")
    os.utime(orphan, (old, old))
    looked = run(storage_settings, jars, "bronze_retention", dry_run=True)
    assert (looked["planned_files"], looked["removed_files"], orphan.exists()) == (1, 0, True)
    removed = run(storage_settings, jars, "bronze_retention")
    assert (removed["planned_files"], removed["removed_files"], orphan.exists()) == (1, 1, False)
    assert run(storage_settings, jars, "bronze_retention")["planned_files"] == 0
