"""The benchmark of commits and files, small: it measures what it says. Its times are the machine's and are not judged here."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.bronze_compaction import FILES_TARGET, measure_commits, measure_files
from streaming.bronze_table import BronzeTable
from streaming.settings import StreamingSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_it_compares_a_late_version_with_an_early_one_and_a_date_with_what_it_would_fill(
    spark: "SparkSession", base_settings: StreamingSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure_commits(spark, tmp_path, versions=36, log_files=50, rounds=4)
    measure_files(spark, base_settings, tmp_path, files=6)

    commits, crowded, files, scan = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    versions = [BronzeTable(spark, str(tmp_path / name)).version() for name in ("late", "crowded", "early")]
    assert versions == [36 + 2, 20 + 2, 20 + 2], "rounds lie around the version that is named"
    assert list((tmp_path / "late" / "_delta_log").glob("*.checkpoint.parquet")), "checkpointed as landing does"
    assert len(list((tmp_path / "crowded" / "_delta_log").iterdir())) >= 50 + 20
    assert (commits["target"], crowded["target"], scan["target"]) == (1.3, 1.3, 1.0)
    assert commits["ours"] > 0 < commits["other"]
    assert (files["files_before"], files["ours"], files["other"]) == (6, 1, 1)
    assert files["ok"]
    assert files["ratio"] <= FILES_TARGET
