"""The log of bronze: commits of landing that do not list it and know of others', its checkpoints, and what it keeps no longer."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F  # noqa: N812 - Spark's own convention

from ingestion.contracts.topics import IMPORT_TOPIC, LIVE_TOPIC
from storage.bronze import latest_version
from streaming.append_transaction import QueryBatch
from streaming.bronze_table import BronzeTable
from streaming.errors import LandingFailedError
from streaming.landing import Landing
from tests.integration.streaming.landing_bench import LandingBench, produce_events, read_broker, read_commits

pytestmark = pytest.mark.integration


def test_the_driver_checkpoints_the_log_beside_the_batches(
    bench: LandingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.landing.COMMITS_PER_CHECKPOINT", 3)
    bootstrap = bench.storage.kafka_bootstrap_servers
    log = Path(bench.storage.bronze_uri, "_delta_log")
    landing = bench.start()
    deadline = time.monotonic() + 60
    while len(list(log.glob("*.checkpoint.parquet"))) < 2:
        assert time.monotonic() < deadline
        produce_events(bootstrap, LIVE_TOPIC, 10)
        time.sleep(0.2)
        landing.check()
    landing.stop()
    bench.land_all()

    first, second = sorted(int(path.name.split(".")[0]) for path in log.glob("*.checkpoint.parquet"))[:2]
    assert second - first >= 3, "as many commits in between as were asked for"
    assert json.loads((log / "_last_checkpoint").read_text())["version"] >= second
    for commit in log.glob("*.json"):
        if int(commit.stem) <= first:
            commit.unlink()
    assert bench.read_bronze() == read_broker(bootstrap), "the checkpoint stands for the commits before it"


def test_where_nothing_locks_drivers_out_commits_carry_their_transaction(
    bench: LandingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.checkpoints.Checkpoints.has_locks", False)
    bootstrap = bench.storage.kafka_bootstrap_servers
    for _ in range(2):
        produce_events(bootstrap, LIVE_TOPIC, 50)
        bench.land_all()

    commits = [commit for commit in read_commits(bench.storage.bronze_uri) if commit["operation"] == "WRITE"]
    transactions = [[action["txn"]["version"] for action in commit["actions"] if "txn" in action] for commit in commits]
    assert all(len(versions) == 1 for versions in transactions)
    [landed] = [action["txn"] for action in commits[-1]["actions"] if "txn" in action]
    table = BronzeTable(bench.spark, bench.storage.bronze_uri)
    with pytest.raises(LandingFailedError, match="another driver has landed"):
        table.append(table.read(), "{}", QueryBatch(landed["appId"], landed["version"]))
    assert bench.read_bronze() == read_broker(bootstrap)


def land_one_more(bench: LandingBench, landing: Landing) -> None:
    """Sends ten events and waits for a commit that holds some."""
    before = landing.landed()
    produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 10)
    deadline = time.monotonic() + 60
    while landing.landed() == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        landing.check()


def test_a_commit_of_landing_does_not_list_the_log(bench: LandingBench) -> None:
    """After a day the log has 86,000 files. Delta refuses a log with a gap whenever it lists one."""
    bootstrap = bench.storage.kafka_bootstrap_servers
    landing = bench.start()
    land_one_more(bench, landing)
    version = landing.table.version()
    gap = Path(bench.storage.bronze_uri, "_delta_log", f"{version + 20:020d}.json")
    gap.write_text("{}")
    land_one_more(bench, landing)
    metadata = landing.table.read_newest_metadata()
    with pytest.raises(Exception, match="VERSIONS_NOT_CONTIGUOUS"):
        landing.table.version()
    gap.unlink()
    assert landing.stop()
    bench.land_all()

    assert metadata is not None
    assert metadata.offsets[LIVE_TOPIC]
    assert bench.read_bronze() == read_broker(bootstrap)


def test_landing_goes_on_after_a_commit_of_somebody_else(bench: LandingBench) -> None:
    landing = bench.start()
    land_one_more(bench, landing)
    DeltaTable(bench.storage.bronze_uri).alter.set_table_properties({"delta.checkpointInterval": "999999999"})
    land_one_more(bench, landing)
    assert landing.stop()
    bench.land_all()
    operations = [commit["operation"] for commit in read_commits(bench.storage.bronze_uri)]
    assert operations.index("SET TBLPROPERTIES") < len(operations) - 1
    assert bench.read_bronze() == read_broker(bench.storage.kafka_bootstrap_servers)


def test_after_an_append_that_failed_nothing_is_committed_until_the_next_start(
    bench: LandingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been committed all the same. The other query, which does not know, would say that its records are not there."""
    bootstrap = bench.storage.kafka_bootstrap_servers
    committed = BronzeTable.append

    def commit_and_fail(*arguments: Any) -> int:
        committed(*arguments)
        raise OSError("the answer is lost")

    landing = bench.start()
    monkeypatch.setattr(BronzeTable, "append", commit_and_fail)
    produce_events(bootstrap, LIVE_TOPIC, 10)
    ended = None
    deadline = time.monotonic() + 60
    while ended is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        try:
            landing.check()
        except LandingFailedError as error:
            ended = error
    monkeypatch.setattr(BronzeTable, "append", committed)
    version = landing.table.version()
    produce_events(bootstrap, IMPORT_TOPIC, 10, days=2)
    time.sleep(2)
    assert landing.table.version() == version
    landing.stop()
    bench.land_all()
    assert bench.read_bronze() == read_broker(bootstrap)


def test_a_driver_that_finds_another_ones_batch_lands_nothing_more(bench: LandingBench) -> None:
    # Regression: two drivers with checkpoints of their own each landed every record.
    bootstrap = bench.storage.kafka_bootstrap_servers
    produce_events(bootstrap, LIVE_TOPIC, 10)
    bench.land_all()
    landing = bench.start()
    log, version = Path(bench.storage.bronze_uri, "_delta_log"), landing.table.version()
    assert version is not None
    # What another driver of a later batch would have committed, as far as the log says.
    lines = [json.loads(line) for line in (log / f"{version:020}.json").read_text().splitlines()]
    info = next(line["commitInfo"] for line in lines if "commitInfo" in line)
    told = json.loads(info["userMetadata"])
    told["offsets"][LIVE_TOPIC] = {part: offset + 1 for part, offset in told["offsets"][LIVE_TOPIC].items()}
    info["userMetadata"] = json.dumps(told)
    (log / f"{version + 1:020}.json").write_text(json.dumps({"commitInfo": info}) + "\n")
    produce_events(bootstrap, LIVE_TOPIC, 10)
    deadline = time.monotonic() + 60
    with pytest.raises(LandingFailedError, match="another driver has landed"):
        while time.monotonic() < deadline:
            landing.check()
            time.sleep(0.1)
    assert landing.table.version() == version + 1
    landing.stop()


def test_rows_without_the_columns_of_the_table_are_refused(bench: LandingBench) -> None:
    produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 10)
    bench.land_all()
    table = BronzeTable(bench.spark, bench.storage.bronze_uri)
    before = table.version()
    with pytest.raises(LandingFailedError, match="dlq_stage"):
        table.append(table.read().drop("dlq_stage"), "{}", None)
    with pytest.raises(LandingFailedError, match="kafka_partition"):
        table.append(table.read().withColumn("kafka_partition", F.col("kafka_partition").cast("long")), "{}", None)
    assert table.version() == before


def test_landing_trims_the_log_of_what_is_older_than_a_day_by_the_hour(
    bench: LandingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage.duckdb_session import open_session

    bootstrap = bench.storage.kafka_bootstrap_servers
    log = Path(bench.storage.bronze_uri, "_delta_log")
    for _ in range(3):
        produce_events(bootstrap, LIVE_TOPIC, 10)
        bench.land_all()
    landing = bench.start()
    monkeypatch.setattr("streaming.landing.COMMITS_PER_CHECKPOINT", 0)
    monkeypatch.setattr("streaming.landing.LOG_TRIM_SECONDS", 0)
    newest = landing.table.version()
    assert newest is not None

    def age(hours: float) -> None:
        moment = time.time() - hours * 3_600
        for path in log.glob("0*"):
            os.utime(path, (moment, moment))

    age(23.5)
    for _ in range(2):
        landing.check()
    young = {int(path.name.partition(".")[0]) for path in log.glob("0*.json")}
    assert young == set(range(newest + 1)), "what is younger than a day stays"
    produce_events(bootstrap, LIVE_TOPIC, 10)
    deadline = time.monotonic() + 60
    while landing.table.version() == newest:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    newest += 1
    age(25.5)
    for _ in range(2):
        landing.check()
    assert landing.stop()
    assert landing.table.commits_since_checkpoint() == 0

    assert {path.name.partition(".")[0] for path in log.glob("0*")} == {f"{newest:020}"}
    produce_events(bootstrap, LIVE_TOPIC, 10)
    bench.land_all()
    assert bench.read_bronze() == read_broker(bootstrap)
    assert latest_version(bench.storage) == newest + 1
    with open_session(bench.storage) as session:
        counted = session.execute("select count(*) from delta_scan(?)", [bench.storage.bronze_uri]).fetchone()
    assert counted == (len(bench.read_bronze()),)


def test_landing_goes_on_where_its_log_gets_no_checkpoint(bench: LandingBench, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def refuse(table: DeltaTable) -> None:
        tried.append(table.version())
        raise OSError("No space left on device")

    monkeypatch.setattr(DeltaTable, "create_checkpoint", refuse)
    monkeypatch.setattr("streaming.landing.COMMITS_PER_CHECKPOINT", 1)
    bootstrap = bench.storage.kafka_bootstrap_servers
    landing = bench.start()
    deadline = time.monotonic() + 60
    for _ in range(2):
        produce_events(bootstrap, LIVE_TOPIC, 10)
        expected = read_broker(bootstrap)
        while len(bench.read_bronze()) < len(expected):
            assert time.monotonic() < deadline
            landing.check()
            time.sleep(0.1)
    landing.table.version()  # from here on the driver knows of the last commit
    landing.check()
    count = len(tried)
    for _ in range(3):
        landing.check()
    assert landing.stop()

    assert 0 < count == len(tried), "once for so many commits, not at every look"
    assert bench.read_bronze() == read_broker(bootstrap)
