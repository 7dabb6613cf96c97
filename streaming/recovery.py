"""Starts landing again after its checkpoint was lost: plans a new one exactly behind what bronze holds, then writes it.

Exact because every offset lands once and in order: a new checkpoint that begins at bronze's own highest offset + 1 reads what
is missing and nothing else. Bronze itself is only read.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import SparkSession

from storage.settings import StorageSettings
from streaming import guards
from streaming.bronze_table import BronzeTable, PartitionCount, landed_offsets
from streaming.checkpoints import Checkpoints, LandingState
from streaming.commit_metadata import Offsets
from streaming.errors import StartRefusedError
from streaming.files import Files
from streaming.kafka_topics import TopicInfo
from streaming.landing import landing_queries
from streaming.settings import StreamingSettings


@dataclass(frozen=True)
class RecoveryPlan:
    """What a recovery would do. `is_needed` is false when landing can start as things are."""

    is_needed: bool
    reasons: tuple[str, ...]
    starting_offsets: Offsets
    waiting_records: int
    generation: int
    topic_ids: Mapping[str, str]


def find_gaps(counts: list[PartitionCount]) -> list[str]:
    """Partitions whose offsets in bronze are not each there once: a new checkpoint cannot mend those."""
    return [
        f"{count.topic}/{count.partition}: {count.row_count} rows, {count.offset_count} offsets in "
        f"{count.first_offset}..{count.last_offset}"
        for count in counts
        if not count.is_contiguous
    ]


class Recovery:
    """Plans and performs a recovery. Holds the driver's lock from open to close, so that landing cannot run meanwhile."""

    def __init__(self, spark: SparkSession, storage: StorageSettings, settings: StreamingSettings) -> None:
        self._settings = settings
        self._names = storage.topics
        self._table = BronzeTable(spark, storage.bronze_uri)
        self._checkpoints = Checkpoints(Files(spark), settings.checkpoint_dir)

    def plan(self, topics: Mapping[str, TopicInfo], ends: Offsets) -> RecoveryPlan:
        """What has to be done. Counts the offsets of the whole table.

        Raises:
            StartRefusedError: landing runs, bronze has gaps, topics are named otherwise, or Kafka is not the one that bronze came from.
        """
        lock = self._checkpoints.lock_driver()
        if lock is None:
            raise StartRefusedError("land_bronze is running; stop it first (`tidemark down`)")
        try:
            return self._plan(topics, ends)
        finally:
            self._checkpoints.unlock_driver(lock)

    def perform(self, plan: RecoveryPlan) -> None:
        """Puts the new generation in force. The old checkpoint stays where it is, unused."""
        self._checkpoints.write_state(
            LandingState(plan.generation, plan.starting_offsets, plan.topic_ids, self._names.landed_roles)
        )

    def _plan(self, topics: Mapping[str, TopicInfo], ends: Offsets) -> RecoveryPlan:
        counts = self._table.count_partitions() if self._table.exists() else []
        landed = landed_offsets(counts)
        state = self._checkpoints.read_state()
        found = {topic.name: topic.topic_id for topic in topics.values()}
        known = guards.known_topic_ids(state, self._table.read_newest_metadata())
        current = state or LandingState()
        guards.refuse(guards.check_names(current, {*known, *landed}, self._names))
        problems = guards.check_topics(known, found) or guards.check_broker_holds(landed, ends)
        guards.refuse(problems + [f"bronze has a gap or a double: {gap}" for gap in find_gaps(counts)])
        reasons: list[str] = []
        for query in landing_queries(self._names, self._settings):
            place = self._checkpoints.read_place(self._checkpoints.location(current.generation, query.name))
            reasons += guards.check_query(query.name, query.topics, place, current, landed)
        starts = {topic: {p: offset + 1 for p, offset in of.items()} for topic, of in landed.items()}
        waiting = sum(
            max(0, end - starts.get(topic, {}).get(partition, 0))
            for topic, of in ends.items()
            for partition, end in of.items()
        )
        return RecoveryPlan(
            bool(reasons), tuple(reasons), starts, waiting, self._checkpoints.next_generation(), {**known, **found}
        )
