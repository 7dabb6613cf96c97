"""A group's dead letters and the records that they point to, as of one version of bronze. Reads only; no group's offset moves.

A record is read where it lies: in bronze once it has landed, in Kafka before. The copy in its letter may be cut and is never taken.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb

from ingestion.contracts.quarantine import Coordinates
from storage.bronze import landed_offsets, latest_version
from storage.duckdb_session import open_session
from storage.hot_store.group_offsets import GroupOffsets
from storage.hot_store.letters import Letter, read_letters
from storage.landed_records import Landed, read_landed
from storage.settings import StorageSettings
from storage.verification.kafka_log import BrokerLog, OffsetRange
from streaming.hot_store.records import Record

# Each has up to 2 MiB.
BATCH_RECORDS = 100
RECORD_IS_GONE = "record_is_gone"


@dataclass(frozen=True)
class NoRecord:
    """Why there is nothing to handle. `reason` is None where the record is of a day that is no longer kept."""

    reason: str | None
    message: str = ""


Found = tuple[Letter, Record | NoRecord]


class LetterRecords:
    """See the module."""

    def __init__(
        self, session: duckdb.DuckDBPyConnection, storage: StorageSettings, group: GroupOffsets, version: int | None
    ) -> None:
        self._session = session
        self._bronze_uri = storage.bronze_uri
        self._group = group
        self._version = version
        self._landed = {} if version is None else landed_offsets(storage, version)

    def letters(self) -> list[Letter]:
        """All letters of the group, in order of the records. Raises: ServiceUnreachableError, KafkaError."""
        landed = self._landed.get(self._group.dead_letter_topic, {})
        found = read_letters(self._session, self._bronze_uri, self._version, landed, self._group)
        return [found[place] for place in sorted(found)]

    def records(self, letters: Sequence[Letter], first_day: date) -> Iterator[Found]:
        """Each letter with its record; of what has landed only the days since `first_day` are read. Raises as `letters`."""
        ends = self._landed.get(self._group.live_topic, {})
        landed = [letter for letter in letters if letter.offset <= ends.get(letter.partition, -1)]
        for start in range(0, len(landed), BATCH_RECORDS):
            yield from self._from_bronze(landed[start : start + BATCH_RECORDS], first_day)
        yield from self._from_kafka([letter for letter in letters if letter.offset > ends.get(letter.partition, -1)])

    def _from_bronze(self, letters: Sequence[Letter], first_day: date) -> Iterator[Found]:
        assert self._version is not None, "nothing has landed without a version"
        places = {letter.place: Coordinates(self._group.live_topic, *letter.place) for letter in letters}
        last_day = datetime.now(UTC).date() + timedelta(days=1)
        found = read_landed(self._session, self._bronze_uri, self._version, list(places.values()), first_day, last_day)
        for letter in letters:
            yield letter, _landed_record(places[letter.place], found.get(places[letter.place]))

    def _from_kafka(self, letters: Sequence[Letter]) -> Iterator[Found]:
        left = {letter.place: letter for letter in letters}
        if not left:
            return
        log = BrokerLog(self._group.bootstrap_servers, (self._group.live_topic,))
        ranges = {}
        for place, held in log.offset_ranges().items():
            offsets = [
                letter.offset for letter in letters if letter.partition == place[1] and letter.offset >= held.start
            ]
            if offsets:
                ranges[place] = OffsetRange(min(offsets), max(offsets) + 1)
        for record in log.read(ranges):
            letter = left.pop((record.partition, record.offset), None)
            if letter is not None:
                yield (
                    letter,
                    Record(
                        record.topic,
                        record.partition,
                        record.offset,
                        record.timestamp_milliseconds,
                        record.key,
                        record.value,
                        record.headers,
                    ),
                )
        for letter in left.values():
            yield letter, NoRecord(RECORD_IS_GONE, "it has not landed in bronze, and Kafka no longer holds it")


@contextmanager
def open_letter_records(storage: StorageSettings, group: GroupOffsets) -> Iterator[LetterRecords]:
    """The letters and records of now."""
    with open_session(storage) as session:
        yield LetterRecords(session, storage, group, latest_version(storage))


def _landed_record(place: Coordinates, landed: Landed | None) -> Record | NoRecord:
    if landed is None:
        return NoRecord(None)
    if landed.rejection_reason is not None:
        # The hot store holds what bronze holds as good, whatever today's rules would say.
        return NoRecord(landed.rejection_reason, "bronze rejected it too: see `tidemark quarantine`")
    appended_at = int(landed.kafka_timestamp.timestamp() * 1000)
    return Record(*place, appended_at, landed.key, landed.value, landed.headers)
