"""Bronze as a table: readers that are not Spark read it at a version, and compaction changes files, never rows."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingestion.contracts.topics import IMPORT_TOPIC, LIVE_TOPIC
from storage.bronze import latest_version
from storage.bronze_files import BronzeFile, list_files
from streaming.commit_lock import CommitLock
from streaming.errors import RewriteError
from streaming.open_date_rewrite import OpenDateRewriter
from streaming.rewrite_transaction import Committer
from tests.integration.streaming.landing_bench import LandingBench, produce, produce_events, read_broker, read_commits

pytestmark = pytest.mark.integration


@pytest.mark.feature("S0-11")
def test_duckdb_reads_a_pinned_version_and_knows_the_types(bench: LandingBench) -> None:
    from storage.duckdb_session import open_session

    bootstrap = bench.storage.kafka_bootstrap_servers
    produce_events(bootstrap, IMPORT_TOPIC, 100, days=10)
    bench.land_all()
    pinned = read_commits(bench.storage.bronze_uri)[-1]["version"]
    before = len(bench.read_bronze())
    produce_events(bootstrap, LIVE_TOPIC, 100)
    bench.land_all()

    with open_session(bench.storage) as session:
        query = "select count(*), count(distinct event_hour) from delta_scan(?, version => ?)"
        rows, hours = session.execute(query, [bench.storage.bronze_uri, pinned]).fetchone()
        newest = session.execute("select count(*) from delta_scan(?)", [bench.storage.bronze_uri]).fetchone()
        types = {
            row[0]: row[1]
            for row in session.execute("describe select * from delta_scan(?)", [bench.storage.bronze_uri]).fetchall()
        }

    assert rows == before
    assert hours >= 10
    assert newest == (before + 100,)
    assert types["value"] == types["key"] == "BLOB"
    assert types["event_hour"] == types["ingested_at"] == "TIMESTAMP WITH TIME ZONE"
    assert types["event_date"] == "DATE"


def test_the_log_is_readable_by_any_delta_reader_and_holds_no_payload(bench: LandingBench) -> None:
    produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 50)
    bench.land_all()

    actions = [action for commit in read_commits(bench.storage.bronze_uri) for action in commit["actions"]]

    assert [a["protocol"] for a in actions if "protocol" in a] == [{"minReaderVersion": 1, "minWriterVersion": 2}]
    columns = {name for a in actions if "add" in a for name in json.loads(a["add"]["stats"])["minValues"]}
    assert columns == {"kafka_offset", "event_hour", "ingested_at"}


def test_an_import_makes_one_file_per_date_and_batch(bench: LandingBench) -> None:
    produce_events(bench.storage.kafka_bootstrap_servers, IMPORT_TOPIC, 400, days=20)
    bench.land_all()

    for commit in read_commits(bench.storage.bronze_uri):
        dates = [action["add"]["partitionValues"]["event_date"] for action in commit["actions"] if "add" in action]
        if json.loads(commit.get("userMetadata") or "{}").get("query") == "import":
            assert len(dates) == len(set(dates))


@pytest.mark.feature("S1-6")
def test_compaction_changes_no_row_and_carries_the_metadata_on(bench: LandingBench) -> None:
    bootstrap = bench.storage.kafka_bootstrap_servers
    bench.settings = bench.settings.model_copy(update={"compact_every_seconds": 0.01, "compact_min_files": 2})
    landing = bench.start()
    deadline = time.monotonic() + 60
    while not any(commit["operation"] == "OPTIMIZE" for commit in read_commits(bench.storage.bronze_uri)):
        assert time.monotonic() < deadline
        produce_events(bootstrap, LIVE_TOPIC, 10)
        time.sleep(0.3)
        landing.check()
    landing.stop()
    bench.settings = bench.settings.model_copy(update={"compact_every_seconds": 0})
    bench.land_all()

    assert bench.read_bronze() == read_broker(bootstrap)
    commits = read_commits(bench.storage.bronze_uri)
    for before, commit in itertools.pairwise(commits):
        if commit["operation"] == "OPTIMIZE":
            assert commit["userMetadata"] == before["userMetadata"]
            changes = [a.get("add") or a.get("remove") for a in commit["actions"] if "add" in a or "remove" in a]
            assert changes
            assert not any(change["dataChange"] for change in changes)


@pytest.mark.feature("S1-6")
def test_batches_land_while_a_compaction_writes(bench: LandingBench, monkeypatch: pytest.MonkeyPatch) -> None:
    # Regression: batches waited for all of it, 56 s at 2,000 events a second on two processors.
    from streaming.rewrite_transaction import Committer

    bootstrap = bench.storage.kafka_bootstrap_servers
    settings = {"compact_every_seconds": 0.01, "compact_min_files": 2}
    bench.settings = bench.settings.model_copy(update=settings)
    landed_meanwhile: list[bool] = []

    def land_meanwhile() -> None:
        if landed_meanwhile:  # a second one may begin when landing is about to stop
            return
        before = landing.landed()
        produce_events(bootstrap, LIVE_TOPIC, 10)
        deadline = time.monotonic() + 60
        while landing.landed() == before and time.monotonic() < deadline:
            time.sleep(0.1)
        landed_meanwhile.append(landing.landed() != before)

    monkeypatch.setattr("streaming.compaction.Committer", partial(Committer, before_commit=land_meanwhile))
    landing = bench.start()
    deadline = time.monotonic() + 60
    while not any(commit["operation"] == "OPTIMIZE" for commit in read_commits(bench.storage.bronze_uri)):
        assert time.monotonic() < deadline
        produce_events(bootstrap, LIVE_TOPIC, 10)
        time.sleep(0.3)
        landing.check()
    assert landing.stop()
    bench.settings = bench.settings.model_copy(update={"compact_every_seconds": 0})
    bench.land_all()

    assert landed_meanwhile == [True]
    assert bench.read_bronze() == read_broker(bootstrap)


@pytest.mark.feature("S1-6")
def test_files_that_a_compaction_wrote_say_of_their_rows_what_is_true(bench: LandingBench) -> None:
    """Statistics, by which readers skip files, against the rows; their order; types as Spark wrote them."""
    from storage.duckdb_session import open_session

    bootstrap = bench.storage.kafka_bootstrap_servers
    for _ in range(3):
        produce_events(bootstrap, LIVE_TOPIC, 200)
        bench.land_all()
    before = bench.read_bronze()
    schemas = {file: schema_of(bench, file) for file in list_files(bench.storage)}
    bench.settings = bench.settings.model_copy(update={"compact_every_seconds": 0.01, "compact_min_files": 2})
    landing = bench.start()
    deadline = time.monotonic() + 60
    while not any(commit["operation"] == "OPTIMIZE" for commit in read_commits(bench.storage.bronze_uri)):
        assert time.monotonic() < deadline
        landing.check()
        time.sleep(0.1)
    assert landing.stop()

    assert bench.read_bronze() == before
    commit = read_commits(bench.storage.bronze_uri)[-1]
    [added] = [action["add"] for action in commit["actions"] if "add" in action]
    assert {action["remove"]["path"] for action in commit["actions"] if "remove" in action} <= {
        file.path for file in schemas
    }
    [written] = [file for file in list_files(bench.storage) if file.path == added["path"]]
    assert written.size_bytes == added["size"] == Path(bench.storage.bronze_uri, written.path).stat().st_size
    assert schema_of(bench, written) == next(iter(schemas.values()))
    with open_session(bench.storage) as session:
        path = f"{bench.storage.bronze_uri}/{written.path}"
        columns = ("kafka_offset", "event_hour", "ingested_at")
        asked = ", ".join(f"min({name}), max({name}), count(*) - count({name})" for name in columns)
        count, *found = session.execute(f"select count(*), {asked} from read_parquet('{path}')").fetchone()
        order = "occurred_at, kafka_topic, kafka_partition, kafka_offset"
        rows = session.execute(f"select {order} from read_parquet('{path}')").fetchall()
    statistics = json.loads(added["stats"])
    assert statistics["numRecords"] == count
    for index, name in enumerate(columns):
        least, greatest, nulls = found[3 * index : 3 * index + 3]
        assert (as_value(statistics["minValues"][name]), as_value(statistics["maxValues"][name])) == (least, greatest)
        assert statistics["nullCount"][name] == nulls
    assert rows == sorted(rows)


class Miscounting:
    """A DuckDB session that finds one row more in the sources than there is."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def execute(self, query: str) -> Any:
        return self._session.execute(query.replace("sum(num_rows)", "sum(num_rows) + 1"))


@contextmanager
def miscounting(*arguments: Any, **options: Any) -> Iterator[Miscounting]:
    from storage.duckdb_session import open_session

    with open_session(*arguments, **options) as session:
        yield Miscounting(session)


def test_a_compaction_into_several_files_keeps_every_row_or_does_not_commit(
    bench: LandingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage.duckdb_session import open_session

    monkeypatch.setattr("streaming.open_date_rewrite.ROW_GROUP_BYTES", 64 * 1024)
    bootstrap = bench.storage.kafka_bootstrap_servers
    for _ in range(2):
        produce_events(bootstrap, LIVE_TOPIC, 4_000)
        produce(bootstrap, [(LIVE_TOPIC, b"u", b"{not json", None)] * 20)  # without a time
        bench.land_all()
    before, version = bench.read_bronze(), latest_version(bench.storage)
    [(day, _)] = Counter(file.event_date for file in list_files(bench.storage)).most_common(1)
    committer = Committer(CommitLock(bench.spark, bench.storage.bronze_uri))
    rewriter = OpenDateRewriter(bench.spark, bench.storage, committer)

    with monkeypatch.context() as patched:
        patched.setattr("streaming.open_date_rewrite.open_session", miscounting)
        with pytest.raises(RewriteError, match="rows were written"):
            rewriter.rewrite(day, smaller_than=10**9, target_bytes=10_000)
    assert latest_version(bench.storage) == version

    rewrite = rewriter.rewrite(day, smaller_than=10**9, target_bytes=10_000)
    assert rewrite.files_after > 2
    assert bench.read_bronze() == before
    added = [action["add"] for action in read_commits(bench.storage.bronze_uri)[-1]["actions"] if "add" in action]
    assert len(added) == rewrite.files_after
    with open_session(bench.storage) as session:
        for add in added:
            path = f"{bench.storage.bronze_uri}/{add['path']}"
            order = "occurred_at, kafka_topic, kafka_partition, kafka_offset"
            rows = session.execute(f"select {order} from read_parquet('{path}')").fetchall()
            assert json.loads(add["stats"])["numRecords"] == len(rows)
            assert rows == sorted(rows, key=lambda row: (row[0] is not None, row[0] or datetime.min, *row[1:]))


def schema_of(bench: LandingBench, file: BronzeFile) -> dict[str, str]:
    """Types of the columns by name, as a reader finds them; their order in a file is nobody's."""
    from storage.duckdb_session import open_session

    with open_session(bench.storage) as session:
        path = f"{bench.storage.bronze_uri}/{file.path}"
        described = session.execute(f"describe select * from read_parquet('{path}', hive_partitioning = false)")
        return {row[0]: row[1] for row in described.fetchall()}


def as_value(text: int | str) -> int | datetime:
    """A statistic as a value."""
    return text if isinstance(text, int) else datetime.fromisoformat(text)
