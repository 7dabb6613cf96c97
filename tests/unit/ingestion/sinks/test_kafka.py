"""The bookkeeping of the Kafka sink, without a broker: one completion per call, bounded queue, every fate known in time."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from ingestion.sinks import Batch, Outcome, OutgoingRecord, QueueFullError, SinkUnavailableError
from ingestion.sinks.kafka import KafkaSink, KafkaSinkSettings, _Delivery, _Reports

RECORDS = [OutgoingRecord("t", b"k", b"%d" % number, []) for number in range(3)]
ALL = Batch.of(RECORDS)


class _Message:
    def __init__(self, record: OutgoingRecord) -> None:
        self._record = record

    def value(self) -> bytes:
        return self._record.value


class _Error:
    def str(self) -> str:
        return "timed out"


def new_delivery() -> tuple[_Delivery, list[Outcome]]:
    outcomes: list[Outcome] = []
    delivery = _Delivery(outcomes.append)
    delivery.values += [record.value for record in RECORDS]
    return delivery, outcomes


def test_a_delivery_completes_when_nothing_refers_to_its_reports_any_more() -> None:
    delivery, outcomes = new_delivery()
    reports = _Reports(delivery)
    under_way = [reports] * 3
    del reports
    while under_way:
        assert not outcomes
        under_way.pop()
    assert [outcome.failed for outcome in outcomes] == [{}]


def test_failed_and_refused_records_are_named() -> None:
    delivery, outcomes = new_delivery()
    reports = _Reports(delivery)
    reports(_Error(), _Message(RECORDS[1]))  # type: ignore[arg-type]  # the methods that are used
    delivery.refuse(range(2, 3), "queue full")
    del reports
    assert [outcome.failed for outcome in outcomes] == [{1: "timed out", 2: "queue full"}]


def test_a_failed_record_that_is_not_recognised_fails_the_whole_call() -> None:
    delivery, outcomes = new_delivery()
    reports = _Reports(delivery)
    reports(_Error(), _Message(OutgoingRecord("t", b"k", b"another", [])))  # type: ignore[arg-type]  # the methods that are used
    del reports
    assert [set(outcome.failed) for outcome in outcomes] == [{0, 1, 2}]


async def publish(sink: KafkaSink) -> Outcome:
    return await sink.publish(ALL)


@pytest.mark.feature("S0-5")
def test_without_a_broker_everything_fails_in_time_and_the_queue_empties() -> None:
    # Port 9 is the discard service: nobody listens there.
    settings = KafkaSinkSettings(
        "127.0.0.1:9", "events", message_timeout_seconds=1.0, publish_timeout_seconds=5.0, max_queued_records=3
    )
    sink = KafkaSink(settings)
    try:
        started = time.monotonic()
        outcome = asyncio.run(publish(sink))
        assert set(outcome.failed) == {0, 1, 2}
        assert time.monotonic() - started < 4
        assert sink.queued_records == 0
        future = sink.submit(ALL)
        with pytest.raises(QueueFullError):
            sink.submit(Batch.of(RECORDS[:1]))
        assert set(future.result(timeout=5).failed) == {0, 1, 2}
        with pytest.raises(SinkUnavailableError):
            sink.check(0.2)
    finally:
        sink.close(5)


def test_what_a_failing_batch_reserved_is_given_back() -> None:
    def break_off() -> Iterator[OutgoingRecord]:
        yield RECORDS[0]
        raise ValueError("no record")

    sink = KafkaSink(KafkaSinkSettings("127.0.0.1:9", "events", message_timeout_seconds=1.0))
    try:
        with pytest.raises(ValueError, match="no record"):
            sink.submit(Batch(break_off(), 3, 3))
        deadline = time.monotonic() + 10
        while sink.queued_records and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sink.queued_records == 0
    finally:
        sink.close(5)
