"""The live windows' driver can write snapshots of its state, or every start would read all changes since the beginning."""

import subprocess
import sys
from pathlib import Path

import pytest

from streaming.settings import StreamingSettings

pytestmark = [pytest.mark.integration, pytest.mark.feature("S1-10")]

# A driver of its own: the file system is a setting of the JVM.
_DRIVER = """
import sys
from pathlib import Path
from pyspark.sql import functions as F
from streaming.live_windows import live_session
from streaming.session import build_spark
from streaming.settings import StreamingSettings

settings = StreamingSettings.model_validate_json(Path(sys.argv[1]).read_text()).of_windows()
spark = build_spark(settings, "snapshots")
session = live_session(spark, 1)
session.conf.set("spark.sql.streaming.stateStore.minDeltasForSnapshot", "1")
folder = Path(sys.argv[1]).parent
(
    session.readStream.format("rate-micro-batch").option("rowsPerBatch", 10).load()
    .groupBy((F.col("value") % 3).alias("key")).count()
    .writeStream.outputMode("update").foreachBatch(lambda rows, _: rows.collect())
    .option("checkpointLocation", str(folder / "checkpoint")).trigger(processingTime="100 milliseconds").start()
)
import time
deadline = time.monotonic() + 90
while not list((folder / "checkpoint").rglob("*.zip")) and time.monotonic() < deadline:
    time.sleep(0.2)
print("snapshots", len(list((folder / "checkpoint").rglob("*.zip"))))
"""


def test_snapshots_of_the_state_are_written(base_settings: StreamingSettings, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    own = {"windows_checkpoint_dir": str(tmp_path / "live"), "checkpoint_dir": str(tmp_path / "landing")}
    own["driver_java_options"] = "-Dspark.sql.streaming.stateStore.maintenanceInterval=1s"
    file.write_text(base_settings.model_copy(update=own).model_dump_json())
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(file)], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ClassCastException" not in done.stderr
    assert int(done.stdout.split()[-1]) > 0
