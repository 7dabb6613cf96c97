"""Compaction of closed dates: files change and rows do not, landing goes on meanwhile, and old versions read until their files go."""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from py4j.protocol import Py4JJavaError

from ingestion.contracts.topics import LIVE_TOPIC
from storage.bronze import landed_offsets, latest_version, touched_hours
from storage.bronze_files import choose_dates, list_date_files
from storage.control import make_engine
from storage.duckdb_session import open_session
from storage.settings import StorageSettings
from streaming.bronze_vacuum import delete_dead_files, list_dead_files
from streaming.commit_lock import LOCK_NAME, CommitLock
from streaming.compaction import Compactor
from streaming.date_rewrite import DateRewriter
from streaming.errors import CommitLockError, CompactionError, ConfigurationError, RewriteError
from streaming.jobs.compact_bronze import compact
from streaming.open_date_rewrite import OpenDateRewriter
from streaming.rewrite_transaction import Committer
from streaming.settings import StreamingSettings
from tests.integration.streaming.landing_bench import LandingBench, produce_events, read_commits
from tests.integration.verification.rows import HOUR, engagement
from tests.integration.verification.world import StampedRow, World, create_lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.integration
DAY = HOUR.date()


@pytest.fixture
def world(storage_settings: StorageSettings) -> Iterator[World]:
    """Two closed dates, landed in seven commits, out of order, with a duplicate and a record that is no event; published and sound."""
    create_lake(storage_settings)
    engine = make_engine(storage_settings)
    world = World(storage_settings, engine)
    minutes = (50, 3, 41, 7, 22, 15, 33)
    for n, minute in enumerate(minutes):
        world.land(
            engagement(3 * n, minutes=minute),
            engagement(3 * n + 1, minutes=24 * 60 + minute),
            engagement(3 * n + 2, minutes=minute, event_id="e0" if n == 6 else f"e{3 * n + 2}"),
        )
    version = world.land(engagement(21, rejection_reason="bad_occurred_at", occurred_at=None, received_at=HOUR))
    world.publish(version)
    yield world
    engine.dispose()


def run_compaction(spark: "SparkSession", world: World, settings: StreamingSettings) -> list[Any]:
    dates = choose_dates(
        list_date_files(world.settings), now=datetime.now(UTC), target_bytes=settings.compact_target_bytes, limit=10
    )
    return list(compact(spark, world.settings, settings, dates))


def read_rows(settings: StorageSettings, version: int | None = None) -> list[tuple[Any, ...]]:
    """Every column of every row, ordering keys and stamps with them."""
    at = latest_version(settings) if version is None else version
    with open_session(settings) as session:
        query = "select * from delta_scan(?, version => ?) order by kafka_topic, kafka_partition, kafka_offset"
        return session.execute(query, [settings.bronze_uri, at]).fetchall()


def read_order(settings: StorageSettings, day: date) -> list[list[datetime | None]]:
    """`occurred_at` of each live file of the date, in the order of the file."""
    from deltalake import DeltaTable

    files = [uri for uri in DeltaTable(settings.bronze_uri).file_uris() if f"event_date={day}" in uri]
    with open_session(settings) as session:
        return [
            [row[0] for row in session.execute("select occurred_at from read_parquet(?)", [file]).fetchall()]
            for file in files
        ]


@pytest.mark.feature("S1-6")
@pytest.mark.feature("K7")
def test_compaction_changes_files_and_no_row(
    spark: "SparkSession", world: World, base_settings: StreamingSettings
) -> None:
    settings, before = world.settings, latest_version(world.settings)
    assert before is not None
    assert [item.file_count for item in list_date_files(settings)] == [8, 7]
    rows, offsets = read_rows(settings), landed_offsets(settings)

    rewrites = run_compaction(spark, world, base_settings)

    assert [(item.files_before, item.files_after) for item in rewrites] == [(8, 1), (7, 1)]
    assert read_rows(settings) == rows, "stamps and places included"
    assert len(rows) == 22
    for item in list_date_files(settings):
        assert item.file_count <= 2 * item.ideal_count(base_settings.compact_target_bytes)
        for moments in read_order(settings, item.event_date):
            known = [moment for moment in moments if moment is not None]
            assert known == sorted(known)
            assert moments == [None] * (len(moments) - len(known)) + known
    after = latest_version(settings)
    assert after == before + 2
    assert touched_hours(settings, before, after) == [], "the arrivals sensors see nothing"
    assert landed_offsets(settings, after) == offsets
    commits = read_commits(settings.bronze_uri)[-2:]
    assert {commit["operation"] for commit in commits} == {"OPTIMIZE"}
    for commit in commits:
        changes = [action.get("add") or action.get("remove") for action in commit["actions"]]
        assert not any(change["dataChange"] for change in changes if change)
    assert read_rows(settings, before) == rows, "the older version reads as before"
    report = world.verify()
    assert report.ok, report.failed
    assert run_compaction(spark, world, base_settings) == []
    assert latest_version(settings) == after, "a second pass commits nothing"


def test_a_large_date_becomes_files_of_ranges(spark: "SparkSession", world: World) -> None:
    rewriter = DateRewriter(spark, world.settings.bronze_uri, Committer(CommitLock(spark, world.settings.bronze_uri)))
    rows = read_rows(world.settings)
    assert rewriter.rewrite(DAY, 3).files_after == 3
    spans = sorted(
        (known[0], known[-1])
        for moments in read_order(world.settings, DAY)
        if (known := [moment for moment in moments if moment is not None])
    )
    assert all(left[1] < right[0] for left, right in itertools.pairwise(spans)), spans
    assert read_rows(world.settings) == rows


def land_beside(world: World, *rows: StampedRow) -> None:
    for row in rows:
        world.land(row, seen=False)


def rewrite_beside(spark: "SparkSession", world: World, lock: CommitLock) -> None:
    DateRewriter(spark, world.settings.bronze_uri, Committer(lock)).rewrite(DAY, 1)


def test_a_commit_during_the_rewrite_is_kept_and_so_is_the_rewrite(spark: "SparkSession", world: World) -> None:
    settings = world.settings
    late = engagement(22, minutes=1)
    other = engagement(23, minutes=3 * 24 * 60)
    rewriter = DateRewriter(
        spark,
        settings.bronze_uri,
        Committer(CommitLock(spark, settings.bronze_uri), before_commit=lambda: land_beside(world, late, other)),
    )
    before = read_rows(settings)

    rewrite = rewriter.rewrite(DAY, 1)

    after = read_rows(settings)
    added = [row for row in after if row not in before]
    assert len(added) == 2
    assert [row for row in after if row not in added] == before
    [of_day] = [item for item in list_date_files(settings) if item.event_date == DAY]
    assert (rewrite.files_before, of_day.file_count) == (8, 2), "the file that landed meanwhile stays beside"
    assert landed_offsets(settings)[LIVE_TOPIC][0] == 23
    world.see(rewrite.version)
    world.publish(rewrite.version)
    report = world.verify()
    assert report.ok, report.failed


@pytest.mark.parametrize("is_open", [False, True])
def test_of_two_rewrites_of_a_date_one_gives_way_and_no_row_is_lost(
    spark: "SparkSession", world: World, is_open: bool
) -> None:
    lock = CommitLock(spark, world.settings.bronze_uri)
    rows = read_rows(world.settings)
    committer = Committer(lock, before_commit=lambda: rewrite_beside(spark, world, lock))
    with pytest.raises(Py4JJavaError, match="Concurrent"):
        if is_open:
            OpenDateRewriter(spark, world.settings, committer).rewrite(DAY, smaller_than=2**30, target_bytes=2**30)
        else:
            DateRewriter(spark, world.settings.bronze_uri, committer).rewrite(DAY, 1)
    assert read_rows(world.settings) == rows


def test_landing_and_compaction_commit_one_after_the_other(bench: LandingBench) -> None:
    lock = CommitLock(bench.spark, bench.storage.bronze_uri, timeout_seconds=0.05)
    produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 10)
    landing = bench.start()
    with CommitLock(bench.spark, bench.storage.bronze_uri).hold():
        with pytest.raises(CommitLockError, match="another driver"), lock.hold():
            pass
        version = latest_version(bench.storage)
        produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 10)
        time.sleep(2)
        assert latest_version(bench.storage) == version, "nothing is committed beside the holder of the lock"
    deadline = time.monotonic() + 60
    while latest_version(bench.storage) == version:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    landing.stop()
    bench.land_all()
    with lock.hold():
        pass


def is_free(lock_file: Path) -> bool:
    """Whether another process would get the lock."""
    code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return (
        subprocess.run([sys.executable, "-c", code, str(lock_file)], capture_output=True, check=False).returncode == 0
    )


def test_the_commit_lock_keeps_another_process_out_whoever_asks_in_this_one(
    spark: "SparkSession", tmp_path: Path
) -> None:
    # Regression: a second attempt in the JVM that held it opened and closed the file, which gives up a process's locks.
    lock_file = tmp_path / LOCK_NAME
    with CommitLock(spark, str(tmp_path)).hold():
        assert not is_free(lock_file)
        with pytest.raises(CommitLockError), CommitLock(spark, str(tmp_path), timeout_seconds=0).hold():
            pass
        assert not is_free(lock_file)
    assert is_free(lock_file)


@pytest.mark.feature("S1-6")
def test_a_date_that_cannot_be_rewritten_keeps_no_other_back(
    spark: "SparkSession", world: World, base_settings: StreamingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Regression: the first date of every pass was the one that failed, and no other was compacted any more.
    rewrite = DateRewriter.rewrite

    def fail_on_the_first(rewriter: DateRewriter, day: date, count: int) -> Any:
        if day == DAY:
            raise RewriteError("an unreadable file")
        return rewrite(rewriter, day, count)

    monkeypatch.setattr(DateRewriter, "rewrite", fail_on_the_first)
    with pytest.raises(CompactionError, match=f"1 of 2 dates could not be rewritten: {DAY}: RewriteError"):
        run_compaction(spark, world, base_settings)
    assert [item.file_count for item in list_date_files(world.settings)] == [8, 1]


@pytest.mark.parametrize("keeps_others_out", [True, False])
def test_landing_leaves_closed_dates_alone_where_another_driver_may_commit(
    spark: "SparkSession",
    world: World,
    base_settings: StreamingSettings,
    monkeypatch: pytest.MonkeyPatch,
    keeps_others_out: bool,
) -> None:
    monkeypatch.setattr(CommitLock, "keeps_others_out", keeps_others_out)
    settings = base_settings.model_copy(update={"compact_min_files": 2})
    lock = CommitLock(spark, world.settings.bronze_uri)
    rewrite = Compactor(spark, world.settings, threading.Lock(), lock, settings).compact_once()
    assert (rewrite and rewrite.event_date) == (None if keeps_others_out else DAY)


def test_an_object_store_is_refused(spark: "SparkSession", world: World, base_settings: StreamingSettings) -> None:
    settings = world.settings.model_copy(update={"bronze_uri": "s3://bucket/bronze"})
    with pytest.raises(ConfigurationError, match="object store"):
        list(compact(spark, settings, base_settings, []))


def test_dead_files_go_when_they_are_old_and_long_replaced(
    spark: "SparkSession", world: World, base_settings: StreamingSettings
) -> None:
    # Regression: VACUUM ignored the hours that it was told and went by the table's own day.
    settings, before = world.settings, latest_version(world.settings)
    rows, uri, month_ago = read_rows(settings), settings.bronze_uri, time.time() - 30 * 86_400
    small = sorted(Path(uri).glob("event_date=*/*.parquet"))
    assert len(small) == 15
    for file in small[:10]:
        os.utime(file, (month_ago, month_ago))
    run_compaction(spark, world, base_settings)
    assert list_dead_files(spark, uri, 168) == []
    delete_dead_files(spark, uri, 168)
    assert read_rows(settings, before) == rows, "what was replaced a moment ago stays, however old"

    forget = "SET TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 0 hours')"
    spark.sql(f"ALTER TABLE delta.`{uri}` {forget}")
    dead = list_dead_files(spark, uri, 168)
    assert {Path(file.removeprefix("file:")) for file in dead} == set(small[:10]), "the others are younger than a week"
    assert all(file.exists() for file in small), "a look deletes nothing"
    for _ in range(2):
        delete_dead_files(spark, uri, 168)
        assert [file for file in small if file.exists()] == small[10:]
    assert list_dead_files(spark, uri, 168) == []
    assert read_rows(settings) == rows
    assert Path(uri, "_commit.lock").exists(), "VACUUM passes over the lock"
