"""The bridge's promise: an offset is committed after what became of its record is acknowledged, and never before."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from ingestion.api.ledger import AcknowledgedCounts, InMemoryLedger
from ingestion.bridge.runner import Bridge
from ingestion.bridge.translation import Incoming, Translator
from ingestion.contracts.topics import DEAD_LETTER_TOPIC, LIVE_TOPIC
from ingestion.schema_registry.decoding import decoder_of
from ingestion.schema_registry.store import StoreUnavailableError
from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import NOW, download
from tests.unit.ingestion.schema_registry.test_decoding import V1, encoded

MILLISECONDS = int(NOW.timestamp() * 1000)


def incoming(offset: int, value: bytes) -> Incoming:
    return Incoming(0, offset, value, MILLISECONDS + offset)


GOOD = [incoming(number, encoded(download(event_id=f"d-{number}"))) for number in range(3)]
BAD = [
    incoming(3, b'{"json": 1}'),
    incoming(4, b"\0\0\0\0\7abc"),
    incoming(5, b""),
    incoming(6, encoded(download(user_id=" "))),
]


class ListInlet:
    """Hands out batches and remembers what was committed."""

    def __init__(self, *batches: Sequence[Incoming]) -> None:
        self.batches = [list(batch) for batch in batches]
        self.committed: list[int] = []

    def read(self) -> list[Incoming]:
        return self.batches.pop(0) if self.batches else []

    def commit(self, records: Sequence[Incoming]) -> None:
        self.committed += [record.offset for record in records]


class World:
    """A bridge over parts in memory; `is_registry_away` makes schemas unknowable."""

    def __init__(self, *batches: Sequence[Incoming]) -> None:
        self.inlet, self.sink, self.ledger = ListInlet(*batches), InMemorySink(), InMemoryLedger()
        self.counts = AcknowledgedCounts(self.ledger)
        self.is_registry_away = False
        decoder = decoder_of("download/1", self.find_text)
        rules = {"first_day": date(2015, 1, 1), "live_topic": LIVE_TOPIC, "dead_letter_topic": DEAD_LETTER_TOPIC}
        translator = Translator(decoder, "shop", **rules)  # type: ignore[arg-type]  # one dict of keywords
        self.bridge = Bridge(self.inlet, self.sink, translator, self.counts)

    def find_text(self, schema_id: int) -> str | None:
        if self.is_registry_away:
            raise StoreUnavailableError("away")
        return {1: json.dumps(V1)}.get(schema_id)


@pytest.mark.feature("S4-2")
def test_records_keep_their_bytes_and_are_stamped_with_the_brokers_time() -> None:
    world = World(GOOD)
    assert world.bridge.step()
    assert [(record.topic, record.key, record.value) for record in world.sink.records] == [
        (LIVE_TOPIC, b"user_1", record.value) for record in GOOD
    ]
    stamps = [dict(record.headers) for record in world.sink.records]
    assert [stamp["ce_id"] for stamp in stamps] == ["d-0", "d-1", "d-2"]
    received = [datetime.fromisoformat(bytes(stamp["ce_receivedat"] or b"").decode()) for stamp in stamps]  # type: ignore[arg-type]
    assert received == [NOW + timedelta(milliseconds=number) for number in range(3)]
    assert {bytes(stamp["ce_source"] or b"") for stamp in stamps} == {b"shop"}  # type: ignore[arg-type]


@pytest.mark.feature("S4-2")
def test_what_is_not_recognised_is_a_dead_letter_with_its_reason_and_stops_nothing() -> None:
    world = World([*BAD, *GOOD])
    assert world.bridge.step()
    letters = [record for record in world.sink.records if record.topic == DEAD_LETTER_TOPIC]
    reasons = [dict(letter.headers)["ce_dlqreason"] for letter in letters]
    assert reasons == [b"malformed_avro", b"unknown_schema", b"empty_value", b"invalid_field"]
    assert [letter.value for letter in letters] == [record.value for record in BAD]
    assert (world.bridge.progress.produced, world.bridge.progress.rejected) == (3, 4)
    assert sorted(world.inlet.committed) == list(range(7))


def test_reading_a_record_again_gives_the_same_record() -> None:
    world = World(GOOD, GOOD)
    assert world.bridge.step()
    assert world.bridge.step()
    assert world.sink.records[:3] == world.sink.records[3:]


def test_nothing_is_committed_while_the_broker_takes_nothing_and_all_of_it_after() -> None:
    world = World(GOOD)
    world.sink.available = False
    assert not world.bridge.step()
    assert world.inlet.committed == []
    world.sink.available = True
    assert world.bridge.step()
    assert world.inlet.committed == [0, 1, 2]
    assert len(world.sink.records) == 3


def test_a_batch_with_one_record_that_failed_is_produced_again_before_it_is_committed() -> None:
    world = World(GOOD)
    world.sink.failing = {1}
    assert not world.bridge.step()
    assert world.inlet.committed == []
    assert world.bridge.step()
    assert {dict(record.headers)["ce_id"] for record in world.sink.records} == {"d-0", "d-1", "d-2"}
    assert world.inlet.committed == [0, 1, 2]


def test_nothing_is_rejected_for_a_schema_while_the_registry_is_away() -> None:
    world = World(GOOD)
    world.is_registry_away = True
    assert not world.bridge.step()
    assert (world.sink.records, world.inlet.committed) == ([], [])
    world.is_registry_away = False
    assert world.bridge.step()
    assert world.bridge.progress.rejected == 0


def test_what_is_acknowledged_is_in_the_ledger_by_app_hour_and_topic() -> None:
    world = World([*GOOD, BAD[0]])
    world.bridge.step()
    world.counts.flush()
    hour = NOW.astimezone(UTC).replace(minute=0)
    assert sorted(world.ledger.counts) == [("shop", hour, DEAD_LETTER_TOPIC, 1), ("shop", hour, LIVE_TOPIC, 3)]


def test_a_quiet_topic_is_no_failure() -> None:
    world = World()
    assert world.bridge.step()
    assert world.inlet.committed == []
