"""Runs a redrive: batches of quarantined records → verdicts → topic of live events → journal. Each record is recovered once.

Three things see to that, whatever dies in between:
- the journal knows what was redriven, and a request that is begun has the topic's ends of that moment;
- a request that died is looked into first: what it produced lies behind those ends and says which record it recovers;
- an event id that is the same every time makes a copy of anything that slips through even so.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from ingestion.contracts import headers
from ingestion.contracts.quarantine import Coordinates, QuarantinedRecord
from ingestion.contracts.validation import Rejection
from ingestion.redrive.errors import RedriveStoppedError
from ingestion.redrive.journal import Journal, Request
from ingestion.redrive.judging import RecordJudge, Skipped
from ingestion.redrive.report import Report
from ingestion.redrive.tail import TopicTail
from ingestion.schema_registry.store import StoreUnavailableError
from ingestion.sinks.errors import SinkUnavailableError
from ingestion.sinks.records import OutgoingRecord, Stamper
from ingestion.sinks.sink import Batch, EventSink
from storage.control.redrives import Outcome, Unfinished

ACKNOWLEDGEMENT_SECONDS = 60.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a redrive works with."""

    judge: RecordJudge
    sink: EventSink
    journal: Journal
    tail: TopicTail


class Redriver:
    """One redrive. Only one at a time: `storage.control.redrives.only_redrive`."""

    def __init__(
        self,
        parts: Parts,
        request: Request,
        progress: Callable[[int], None] = lambda _records: None,
    ) -> None:
        self._parts = parts
        self._request = request
        self._progress = progress
        self.report = Report()

    def run(self, batches: Iterable[Sequence[QuarantinedRecord]]) -> Report:
        """The report, after everything that is good is acknowledged and noted.

        Raises: RedriveStoppedError. The request then stays open, and the next redrive looks first at what became of it.
        """
        journal, request = self._parts.journal, self._request
        for died in journal.unfinished():
            self._settle(died)
        known = journal.redriven()
        journal.begin(request, self._parts.tail.ends(request.topic))
        try:
            for batch in batches:
                self._redrive(batch, known)
                self._progress(self.report.selected)
        except (SinkUnavailableError, StoreUnavailableError, TimeoutError) as error:
            raise RedriveStoppedError(f"{error or 'no answer in time'}; start the same redrive again") from None
        journal.finish(request.request_id, self.report.as_dict(), is_complete=True)
        log.info("redrive finished", request_id=request.request_id, **self.report.counts)
        return self.report

    def preview(self, batches: Iterable[Sequence[QuarantinedRecord]]) -> Report:
        """The report of `run`, as it would be. Nothing is produced or noted."""
        journal = self._parts.journal
        known = journal.redriven()
        for died in journal.unfinished():
            known |= {found.origin for found in self._parts.tail.redriven_since(died.topic, died.starting_offsets)}
        for batch in batches:
            self._parts.judge.learn(batch)
            self.report.add(outcome for outcome, _ in (self._decide(record, known) for record in batch))
            self._progress(self.report.selected)
        return self.report

    def _settle(self, died: Unfinished) -> None:
        """Notes what a request that died has produced."""
        found = {
            item.origin: item.event_id for item in self._parts.tail.redriven_since(died.topic, died.starting_offsets)
        }
        outcomes = [Outcome(origin, "redriven", None, None, event_id) for origin, event_id in found.items()]
        self._parts.journal.note(died.request_id, outcomes, ())
        self._parts.journal.finish(died.request_id, {"redriven": len(outcomes)}, is_complete=False)
        log.warning("an earlier redrive had died", request_id=died.request_id, redriven=len(outcomes))

    def _redrive(self, batch: Sequence[QuarantinedRecord], known: set[Coordinates]) -> None:
        """Raises: SinkUnavailableError, StoreUnavailableError, TimeoutError, RedriveStoppedError."""
        self._parts.judge.learn(batch)
        decided = [self._decide(record, known) for record in batch]
        good = [(outcome, record) for outcome, record in decided if record is not None]
        failed: dict[int, str] = {}
        if good:
            answer = self._parts.sink.submit(Batch.of([item.record for _, item in good]))
            failed = answer.result(ACKNOWLEDGEMENT_SECONDS).failed
        undelivered = {good[position][0].coordinates for position in failed}
        outcomes = [outcome for outcome, _ in decided if outcome.coordinates not in undelivered]
        hours = Counter(
            (item.app_id, item.received_hour) for position, (_, item) in enumerate(good) if position not in failed
        )
        counts = [(app_id, hour, self._request.topic, count) for (app_id, hour), count in hours.items()]
        self._parts.journal.note(self._request.request_id, outcomes, counts)
        self.report.add(outcomes)
        if failed:
            raise RedriveStoppedError(
                f"{len(failed)} records were not acknowledged: {next(iter(failed.values()))}; start the same redrive again"
            )

    def _decide(self, record: QuarantinedRecord, known: set[Coordinates]) -> "tuple[Outcome, _Outgoing | None]":
        """What becomes of a record, and what is to be produced for it."""
        place, reason = record.coordinates, record.reason
        if place in known or record.redriven_as is not None:
            return Outcome(place, "already", reason), None
        verdict = self._parts.judge.judge(record)
        if isinstance(verdict, Skipped):
            return Outcome(place, "skipped", reason, verdict.reason), None
        if isinstance(verdict, Rejection):
            return Outcome(place, "still_bad", reason, verdict.reason.value), None
        topic = self._request.topic
        stamper = Stamper(verdict.app_id, record.received_at, topic=topic, dead_letter_topic=topic)
        outgoing = stamper.stamp(verdict.body, verdict.event, verdict.event_id)
        outgoing.headers.append((headers.REDRIVE_OF, str(place).encode()))
        hour = record.received_at.replace(minute=0, second=0, microsecond=0)
        return Outcome(place, "redriven", reason, None, verdict.event_id), _Outgoing(outgoing, verdict.app_id, hour)


@dataclass(frozen=True)
class _Outgoing:
    """A record to produce, and where it is counted."""

    record: OutgoingRecord
    app_id: str
    received_hour: datetime
