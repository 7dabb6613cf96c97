"""Sends a generated stream to the ingestion API over HTTP, paced, until every line is answered.

What was not acknowledged is sent again with the same bytes; a receipt is written for every line acknowledged as accepted, after its
acknowledgement, so that receipts are a list of promises to be held against the lake.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import httpx

from ingestion.contracts.families import Family
from ingestion.generators.engagement import EngagementStream
from ingestion.generators.stream import EventStream, GeneratedEvent, StreamPlan
from ingestion.generators.truth import Truth

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 3.0
APP_HEADER = "X-Tidemark-App"


class SendError(RuntimeError):
    """Sending stopped for good; what was acknowledged before has its receipts."""


class UnreachableError(SendError):
    """The API or its broker stayed away for longer than the patience."""


@dataclass(frozen=True)
class SendTarget:
    """Where to send, with which key (None: anonymous, development only), and how long to keep trying one request."""

    url: str
    key: str | None = None
    patience_seconds: float = 120.0


@dataclass(frozen=True)
class SendReport:
    """What became of a stream."""

    sent: int
    accepted: int
    rejected: int
    retries: int
    seconds: float
    events_per_second: float
    app_id: str
    receipts: str | None
    truth: Truth

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the truth's totals but not its cells."""
        return {**asdict(self), "truth": self.truth.summary()}


def send_events(
    target: SendTarget,
    plan: StreamPlan | EventStream,
    *,
    batch_size: int = 100,
    single: bool = False,
    receipts_path: Path | None = None,
    truth_path: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
    transport: httpx.BaseTransport | None = None,
) -> SendReport:
    """Sends a whole stream (of a plan: engagements) and reports. `progress` gets the lines done, `should_stop` ends it early after a batch.

    Raises: UnreachableError, SendError.
    """
    stream = EngagementStream(plan) if isinstance(plan, StreamPlan) else plan
    if receipts_path is not None:
        receipts_path.parent.mkdir(parents=True, exist_ok=True)
    receipts = receipts_path.open("a", encoding="utf-8") if receipts_path is not None else None
    headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    try:
        with httpx.Client(base_url=target.url, headers=headers, timeout=30.0, transport=transport) as client:
            sender = _Sender(client, target.patience_seconds, receipts, sleep)
            started = time.perf_counter()
            for batch in _batches(iter(stream), 1 if single else batch_size):
                if should_stop():
                    break
                _keep_pace(stream.rate, sender.sent + len(batch) - 1, started, sleep)
                sender.send(batch, single)
                progress(sender.sent)
            seconds = time.perf_counter() - started
    finally:
        if receipts is not None:
            receipts.close()
    truth = stream.truth()
    write_truth(truth, truth_path)
    return SendReport(
        sent=sender.sent,
        accepted=sender.accepted,
        rejected=sender.rejected,
        retries=sender.retries,
        seconds=round(seconds, 3),
        events_per_second=round(sender.sent / seconds, 1) if seconds > 0 else 0.0,
        app_id=sender.app_id,
        receipts=str(receipts_path) if receipts_path is not None else None,
        truth=truth,
    )


def write_truth(truth: Truth, path: Path | None) -> None:
    """Writes the whole ground truth as JSON, when there is somewhere to write it."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(truth.as_dict()) + "\n", encoding="utf-8")


def _single_address(family: Family) -> str:
    return "/api/v1/events" if family is Family.ENGAGEMENT else f"/v1/events/{family.value}"


def _batches(events: Iterator[GeneratedEvent], size: int) -> Iterator[list[GeneratedEvent]]:
    while batch := list(islice(events, size)):
        yield batch


def _keep_pace(rate: float, due: int, started: float, sleep: Callable[[float], None]) -> None:
    """Waits until the last line of the batch has happened: no event is sent before its own time."""
    if rate > 0:
        pause = started + due / rate - time.perf_counter()
        if pause > 0:
            sleep(pause)


class _Sender:
    """Counts and retries over one HTTP client."""

    def __init__(
        self, client: httpx.Client, patience_seconds: float, receipts: IO[str] | None, sleep: Callable[[float], None]
    ) -> None:
        self._client = client
        self._patience_seconds = patience_seconds
        self._receipts = receipts
        self._sleep = sleep
        self.sent = self.accepted = self.rejected = self.retries = 0
        self.app_id = "public"

    def send(self, batch: list[GeneratedEvent], single: bool) -> None:
        """Returns once every line of the batch is accepted or rejected."""
        left, is_retry = batch, False
        deadline = time.monotonic() + self._patience_seconds
        pause = _FIRST_PAUSE_SECONDS
        while left:
            if is_retry:
                self.retries += 1
                if time.monotonic() > deadline:
                    raise UnreachableError(
                        f"not acknowledged within {self._patience_seconds:.0f} s; see `tidemark status`"
                    )
                self._sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            left = self._attempt(left, single)
            is_retry = True

    def _attempt(self, batch: list[GeneratedEvent], single: bool) -> list[GeneratedEvent]:
        """The lines that must be sent again."""
        try:
            if single:
                response = self._client.post(_single_address(batch[0].family), content=batch[0].raw)
            else:
                body = b"\n".join(event.raw for event in batch) + b"\n"
                response = self._client.post(
                    "/v1/batch", content=body, headers={"Content-Type": "application/x-ndjson"}
                )
        except httpx.TransportError:
            return batch
        if response.status_code in (429, 503):
            return batch
        if response.status_code not in (201, 202, 422):
            raise SendError(f"the ingestion API answered {response.status_code}: {response.text[:300]}")
        self.app_id = unquote(response.headers.get(APP_HEADER, self.app_id))
        rejected_alone = [{"index": 0}] if response.status_code == 422 else []
        errors = rejected_alone if single else response.json().get("errors")
        if errors is None:
            raise SendError(f"the ingestion API refused the batch: {response.text[:300]}")
        again = {error["index"] for error in errors if error.get("retryable")}
        rejected = {error["index"] for error in errors if not error.get("retryable")}
        self._note([event for place, event in enumerate(batch) if place not in again and place not in rejected])
        self.rejected += len(rejected)
        self.sent += len(batch) - len(again)
        return [batch[place] for place in sorted(again)]

    def _note(self, accepted: list[GeneratedEvent]) -> None:
        self.accepted += len(accepted)
        if self._receipts is not None and accepted:
            lines = [json.dumps({"app_id": self.app_id, "event_id": event.event_id}) + "\n" for event in accepted]
            self._receipts.writelines(lines)
            self._receipts.flush()
