"""Landing is exact and ordered whatever happens to its checkpoint: repeated batches, restarts, lost folders, other topics."""

import json
import shutil
from pathlib import Path

import pytest

from ingestion.contracts.topics import DEAD_LETTER_TOPIC, IMPORT_TOPIC, LIVE_TOPIC
from streaming.commit_metadata import parse_commit_metadata
from tests.integration.streaming.landing_bench import (
    LandingBench,
    produce_events,
    read_broker,
    read_columns,
    read_commits,
    read_stamps,
)

pytestmark = pytest.mark.integration


def plan_recovery(bench: LandingBench, *, perform: bool):
    from streaming.kafka_topics import EndOffsetReader, wait_for_topics
    from streaming.recovery import Recovery

    names = bench.storage.topics.landed
    topics = wait_for_topics(bench.storage.kafka_bootstrap_servers, names, timeout_seconds=20)
    reader = EndOffsetReader(bench.storage.kafka_bootstrap_servers, names)
    ends = reader.read()
    reader.close()
    recovery = Recovery(bench.spark, bench.storage, bench.settings)
    plan = recovery.plan(topics, ends)
    if perform:
        recovery.perform(plan)
    return plan


def assert_bronze_equals_broker(bench: LandingBench) -> None:
    assert bench.read_bronze() == read_broker(bench.storage.kafka_bootstrap_servers)


@pytest.mark.feature("S0-10")
@pytest.mark.feature("S0-11")
def test_landing_again_from_the_same_checkpoint_adds_nothing(bench: LandingBench) -> None:
    produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 200)
    produce_events(bench.storage.kafka_bootstrap_servers, IMPORT_TOPIC, 200, days=40)
    bench.land_all()
    commits = len(read_commits(bench.storage.bronze_uri))

    bench.land_all()

    assert len(read_commits(bench.storage.bronze_uri)) == commits
    assert_bronze_equals_broker(bench)


@pytest.mark.feature("S0-10")
def test_a_batch_that_comes_again_after_its_commit_adds_nothing(bench: LandingBench) -> None:
    produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 100)
    bench.land_all()
    # As after a kill between Delta's commit and Spark's note of it.
    for query in ("live", "import"):
        shutil.rmtree(Path(bench.settings.checkpoint_dir, "generation-0", query, "commits"), ignore_errors=True)
    produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 100)

    bench.land_all()

    assert_bronze_equals_broker(bench)


@pytest.mark.feature("S0-10")
def test_stamps_grow_with_commits_across_both_queries_and_restarts(bench: LandingBench) -> None:
    for _ in range(2):
        produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 50)
        produce_events(bench.storage.kafka_bootstrap_servers, IMPORT_TOPIC, 50)
        produce_events(bench.storage.kafka_bootstrap_servers, DEAD_LETTER_TOPIC, 5)
        bench.land_all()

    stamps = read_stamps(bench.storage.bronze_uri)
    assert len(stamps) >= 4
    assert stamps == sorted(set(stamps))
    in_rows = {row["ingested_at"] for row in read_columns(bench.storage.bronze_uri, ["ingested_at"])}
    assert in_rows == set(stamps)


def test_the_newest_commit_alone_tells_how_far_bronze_is(bench: LandingBench) -> None:
    produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 20)
    produce_events(bench.storage.kafka_bootstrap_servers, IMPORT_TOPIC, 20)
    bench.land_all()

    metadata = parse_commit_metadata(read_commits(bench.storage.bronze_uri)[-1]["userMetadata"])

    assert metadata is not None
    highest: dict[str, dict[int, int]] = {}
    for record in read_broker(bench.storage.kafka_bootstrap_servers):
        highest.setdefault(record.topic, {})[record.partition] = record.offset
    assert metadata.offsets == highest


@pytest.mark.feature("S0-10")
def test_a_lost_checkpoint_is_refused_and_recovered_exactly(bench: LandingBench) -> None:
    from streaming.errors import StartRefusedError

    bootstrap = bench.storage.kafka_bootstrap_servers
    produce_events(bootstrap, LIVE_TOPIC, 100)
    bench.land_all()
    shutil.rmtree(bench.settings.checkpoint_dir)
    produce_events(bootstrap, LIVE_TOPIC, 30)
    produce_events(bootstrap, IMPORT_TOPIC, 30)

    with pytest.raises(StartRefusedError, match="tidemark recover land-bronze"):
        bench.start()
    dry = plan_recovery(bench, perform=False)
    with pytest.raises(StartRefusedError, match="has no checkpoint, but bronze holds its records"):
        bench.start()
    done = plan_recovery(bench, perform=True)
    bench.land_all()

    assert dry == done
    assert done.is_needed
    assert done.waiting_records == 60
    assert_bronze_equals_broker(bench)
    assert not plan_recovery(bench, perform=False).is_needed


def test_an_older_copy_of_the_checkpoint_is_refused(bench: LandingBench, tmp_path: Path) -> None:
    from streaming.errors import StartRefusedError

    # Its next batches would be other records than those that landed under their numbers.
    for _ in range(3):
        produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 10)
        bench.land_all()
        if not (tmp_path / "copy").exists():
            shutil.copytree(bench.settings.checkpoint_dir, tmp_path / "copy")
    shutil.rmtree(bench.settings.checkpoint_dir)
    shutil.copytree(tmp_path / "copy", bench.settings.checkpoint_dir)

    with pytest.raises(StartRefusedError, match="does not fit bronze"):
        bench.start()


def test_a_lost_bronze_is_refused(bench: LandingBench) -> None:
    from streaming.errors import StartRefusedError

    produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 10)
    bench.land_all()
    shutil.rmtree(bench.storage.bronze_uri)

    with pytest.raises(StartRefusedError, match="bronze goes on at 0"):
        bench.start()


def test_a_second_driver_is_kept_out(bench: LandingBench) -> None:
    from streaming.errors import ConfigurationError

    first = bench.start()
    with pytest.raises(ConfigurationError, match="another landing driver"):
        bench.start(lock_wait_seconds=0.1)
    first.stop()


@pytest.mark.feature("S0-10")
def test_a_recreated_topic_is_refused_even_by_recovery(bench: LandingBench) -> None:
    from kafka.admin import KafkaAdminClient

    from local_stack.topics import create_topics
    from streaming.errors import StartRefusedError

    bootstrap = bench.storage.kafka_bootstrap_servers
    produce_events(bootstrap, DEAD_LETTER_TOPIC, 5)
    bench.land_all()
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    admin.delete_topics([DEAD_LETTER_TOPIC])
    while DEAD_LETTER_TOPIC in admin.list_topics():
        pass
    admin.close()
    create_topics(bootstrap)
    produce_events(bootstrap, DEAD_LETTER_TOPIC, 50)

    with pytest.raises(StartRefusedError, match=r"events\.dlq\.v1 was recreated"):
        bench.start()
    shutil.rmtree(bench.settings.checkpoint_dir)
    with pytest.raises(StartRefusedError, match=r"events\.dlq\.v1 was recreated"):
        plan_recovery(bench, perform=False)


@pytest.mark.feature("S0-4")
def test_topics_named_otherwise_than_before_are_refused_until_they_are_named_again(bench: LandingBench) -> None:
    # Regression: Spark ended the query at every start ("partitions are gone"), and what the old topic still held never landed.
    from local_stack.topics import create_topics
    from streaming.errors import StartRefusedError

    before, bootstrap = bench.storage, bench.storage.kafka_bootstrap_servers
    renamed = before.model_copy(update={"live_topic": "other.events", "dead_letter_topic": "other.letters"})
    swapped = before.model_copy(update={"live_topic": before.import_topic, "import_topic": before.live_topic})
    create_topics(bootstrap, renamed.topics.specs)
    produce_events(bootstrap, LIVE_TOPIC, 20)
    bench.land_all()
    produce_events(bootstrap, LIVE_TOPIC, 10)  # has not landed

    for storage in (renamed, swapped):
        bench.storage = storage
        with pytest.raises(StartRefusedError, match=r"set TIDEMARK_KAFKA_TOPIC=events\.raw\.v1 again, or begin anew"):
            bench.start()
        with pytest.raises(StartRefusedError, match=r"TIDEMARK_KAFKA_TOPIC=events\.raw\.v1 again"):
            plan_recovery(bench, perform=False)
    shutil.move(Path(bench.settings.checkpoint_dir, "state.json"), Path(bench.settings.checkpoint_dir, "lost.json"))
    bench.storage = renamed
    with pytest.raises(StartRefusedError, match=r"topic events\.raw\.v1, which no setting names"):
        bench.start()
    shutil.move(Path(bench.settings.checkpoint_dir, "lost.json"), Path(bench.settings.checkpoint_dir, "state.json"))

    bench.storage = before
    bench.land_all()
    assert_bronze_equals_broker(bench)


@pytest.mark.feature("S0-4")
def test_a_checkpoint_of_before_roles_were_kept_goes_on_and_keeps_them(bench: LandingBench) -> None:
    produce_events(bench.storage.kafka_bootstrap_servers, LIVE_TOPIC, 20)
    bench.land_all()
    file = Path(bench.settings.checkpoint_dir, "state.json")
    state = json.loads(file.read_text())
    roles = state.pop("topic_roles")
    file.write_text(json.dumps(state))

    bench.land_all()

    assert json.loads(file.read_text())["topic_roles"] == roles == bench.storage.topics.landed_roles
