"""The dead letters of a consumer group: which live records it could not handle, and why. Reads only.

A letter is read from bronze once it has landed and from Kafka before, so none that was acknowledged is left out. One record may be pointed
to twice, when a worker died before its commit: its coordinates tell, and its newest letter counts. What a letter holds of the record itself
is not read: it may be cut.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import duckdb

from ingestion.contracts import headers
from storage.hot_store.group_offsets import GroupOffsets
from storage.verification.kafka_log import BrokerLog, OffsetRange

Headers = Iterable[tuple[str, bytes | None]]
Place = tuple[int, int]
"""Partition and offset of a record of the live topic."""

_SQL = (Path(__file__).parent / "sql" / "landed_letters.sql").read_text()
_FETCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Letter:
    """A pointer to a record of the live topic. `app_id` is None where the record names none."""

    partition: int
    offset: int
    reason: str
    app_id: str | None
    at: datetime

    @property
    def place(self) -> Place:
        """The record's."""
        return self.partition, self.offset


def read_letters(
    session: duckdb.DuckDBPyConnection,
    bronze_uri: str,
    version: int | None,
    landed: Mapping[int, int],
    group: GroupOffsets,
) -> dict[Place, Letter]:
    """All letters of the group. `landed`: the last offset of each partition of the dead letters that bronze has at `version`.

    Raises: ServiceUnreachableError, and KafkaError, when the broker does not answer.
    """
    found: dict[Place, Letter] = {}
    for of_letter in chain(_landed(session, bronze_uri, version, group), _waiting(landed, group)):
        letter = _letter_of(of_letter, group)
        if letter is not None and (letter.place not in found or found[letter.place].at <= letter.at):
            found[letter.place] = letter
    return found


def _landed(
    session: duckdb.DuckDBPyConnection, bronze_uri: str, version: int | None, group: GroupOffsets
) -> Iterator[Headers]:
    if version is None:
        return
    session.execute(_SQL, {"uri": bronze_uri, "version": version, "topic": group.dead_letter_topic})
    while rows := session.fetchmany(_FETCH_ROWS):
        for (kept,) in rows:
            yield [(header["key"], header["value"]) for header in kept]


def _waiting(landed: Mapping[int, int], group: GroupOffsets) -> Iterator[Headers]:
    log = BrokerLog(group.bootstrap_servers, (group.dead_letter_topic,))
    ranges = {
        place: OffsetRange(max(held.start, landed.get(place[1], -1) + 1), held.end)
        for place, held in log.offset_ranges().items()
    }
    for record in log.read(ranges):
        yield record.headers


def _letter_of(of_letter: Headers, group: GroupOffsets) -> Letter | None:
    """The letter that these headers are; None for what an edge rejected, another group's, or one that points nowhere."""
    stamps: dict[str, str] = {}
    for name, value in of_letter:
        stamps.setdefault(name, (value or b"").decode(errors="replace"))
    expected = {
        headers.DEAD_LETTER_STAGE: headers.CONSUMER_STAGE.decode(),
        headers.DEAD_LETTER_GROUP: group.name,
        headers.DEAD_LETTER_OF_TOPIC: group.live_topic,
    }
    if not expected.items() <= stamps.items():
        return None
    try:
        return Letter(
            int(stamps[headers.DEAD_LETTER_PARTITION]),
            int(stamps[headers.DEAD_LETTER_OFFSET]),
            stamps[headers.DEAD_LETTER_REASON],
            stamps.get(headers.SOURCE),
            datetime.fromisoformat(stamps[headers.DEAD_LETTER_AT]).astimezone(UTC),
        )
    except (KeyError, ValueError, OverflowError):
        return None
