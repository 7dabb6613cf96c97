"""The verifiable producer: sends events over HTTP until each is answered, and keeps a journal of tries and promises.

Seeded: the same seed makes the same bodies in the same order in each thread, apart from the times, which are of the run. Copies go with
the same id on purpose, late ones are hours or days old, and each has a user, so that distinct counts can be held against an oracle too.
Some bodies have drifted: those that must be refused are in no journal, and being taken fails the run.
"""

import json
import math
import random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

from ingestion.generators.sender import APP_HEADER
from tests.faults.drifts import DRIFTS, TEN_YEARS
from tests.faults.journal import Journal

THREADS = 2
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_REQUEST_TIMEOUT_SECONDS = 15.0
_EVENT_TYPES = ("like", "comment", "share", "view")
_PLATFORMS = ("web", "ios", "android")


@dataclass(frozen=True)
class Sending:
    """An event as the journal has it, and the body that goes out for it."""

    event: dict[str, Any]
    body: bytes
    is_good: bool = True


@dataclass(frozen=True)
class Mix:
    """What is sent: events per second over all threads, and shares: of copies, of events that are up to `late_hours` old, of clocks that
    are ten years behind, of bodies that have drifted, and beside them of records that are poison. With a `limit` no more than so many
    events, as fast as they are answered where the rate is 0.
    """

    rate: float
    copies: float = 0.03
    late: float = 0.02
    late_hours: float = 30.0
    behind: float = 0.005
    drifted: float = 0.03
    poison: float = 0.05
    batch_events: int = 25
    limit: int | None = None


class VerifiableProducer:
    """Threads that send until told to stop, and then until everything tried is answered."""

    def __init__(self, url: str, key: str | None, folder: Path, *, seed: int, mix: Mix) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/x-ndjson"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._mix = mix
        self._seed = seed
        self._stopping = threading.Event()
        self._giving_up = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failures: list[str] = []
        self.prefix = f"fault-{seed}-"
        self.intents = Journal(folder / "intents.ndjson")
        self.receipts = Journal(folder / "receipts.ndjson")
        self.retry_count = 0
        self.acknowledged_count = 0
        self.refused_count = 0
        self.app_id = ""
        """Whose events they are: said by the first answer."""

    def start(self) -> None:
        """Begins to send."""
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def wait(self, timeout_seconds: float) -> None:
        """Until the limit is sent and answered. Raises: AssertionError when it is not in time."""
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        is_late = any(thread.is_alive() for thread in self._threads)
        assert not is_late, (
            f"{self.acknowledged_count} of {self._mix.limit} events were answered in {timeout_seconds:.0f} s"
        )

    def finish(self, timeout_seconds: float) -> None:
        """Sends nothing new and waits for the answers that are due. Raises: AssertionError when one does not come in time."""
        self._stopping.set()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        is_late = any(thread.is_alive() for thread in self._threads)
        self._giving_up.set()
        for thread in self._threads:
            thread.join(_REQUEST_TIMEOUT_SECONDS + _LONGEST_PAUSE_SECONDS)
        self.intents.close()
        self.receipts.close()
        assert not self._failures, self._failures[:3]
        assert not is_late, f"events are unanswered {timeout_seconds:.0f} s after the last fault was healed"

    def _run(self, number: int) -> None:
        try:
            self._send_all(number)
        except Exception as error:  # noqa: BLE001 - told by finish(), in the thread that can fail the run
            self._failures.append(repr(error))

    def _send_all(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        mix = self._mix
        sent: list[Sending] = []
        serial, started, count = 0, time.monotonic(), 0
        limit = math.inf if mix.limit is None else mix.limit / THREADS
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=_REQUEST_TIMEOUT_SECONDS) as client:
            while count < limit and not self._stopping.is_set():
                batch: list[Sending] = []
                for _ in range(mix.batch_events):
                    if sent and chance.random() < mix.copies:
                        batch.append(chance.choice(sent))
                    else:
                        batch.append(self._make_sending(chance, f"{self.prefix}{number}-{serial}"))
                        serial += 1
                sent = (sent + batch)[-200:]
                self._send(client, batch)
                count += len(batch)
                if mix.rate:
                    self._stopping.wait(max(0.0, started + count * THREADS / mix.rate - time.monotonic()))

    def _make_sending(self, chance: random.Random, event_id: str) -> Sending:
        event = self._make(chance, event_id)
        if chance.random() >= self._mix.drifted:
            return Sending(event, json.dumps(event).encode())
        drift = chance.choice(DRIFTS)
        return Sending(event, json.dumps(drift.change(event)).encode(), drift.is_accepted)

    def _make(self, chance: random.Random, event_id: str) -> dict[str, Any]:
        is_late = chance.random() < self._mix.late
        age = timedelta(hours=chance.uniform(1, self._mix.late_hours) if is_late else 0)
        age += TEN_YEARS if chance.random() < self._mix.behind else timedelta(0)
        return {
            "event_id": event_id,
            "event_type": chance.choice(_EVENT_TYPES),
            "platform": chance.choice(_PLATFORMS),
            "user_id": f"user-{int(chance.paretovariate(0.8)) % 5000}",
            "content_id": f"post-{chance.randrange(500)}",
            "timestamp": (datetime.now(UTC) - age).isoformat(),
        }

    def _send(self, client: httpx.Client, batch: list[Sending]) -> None:
        """Returns once each event is answered for good, or `finish` gave up."""
        self.intents.write(sending.event for sending in batch if sending.is_good)
        left, pause = batch, _FIRST_PAUSE_SECONDS
        while left and not self._giving_up.is_set():
            again, refused = self._attempt(client, left)
            self.refused_count += len(refused)
            acknowledged = [sending.event for place, sending in enumerate(left) if place not in again | refused]
            if acknowledged:
                self.acknowledged_count += len(acknowledged)
                self.receipts.write({"app_id": self.app_id, "event_id": event["event_id"]} for event in acknowledged)
            left = [left[place] for place in sorted(again)]
            if left:
                self.retry_count += 1
                self._giving_up.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _attempt(self, client: httpx.Client, batch: list[Sending]) -> tuple[set[int], set[int]]:
        """Places in the batch that are to be sent again, and those that were refused, which must be those that are not good."""
        everything = set(range(len(batch)))
        try:
            answer = client.post("/v1/batch", content=b"\n".join(sending.body for sending in batch) + b"\n")
        except httpx.TransportError:
            return everything, set()
        if answer.status_code in (429, 503):
            return everything, set()
        assert answer.status_code in (202, 422), f"{answer.status_code}: {answer.text[:300]}"
        self.app_id = unquote(answer.headers[APP_HEADER])
        errors = answer.json()["errors"]
        again = {error["index"] for error in errors if error.get("retryable")}
        refused = {error["index"] for error in errors} - again
        bad = {place for place, sending in enumerate(batch) if not sending.is_good} - again
        assert refused == bad, f"refused: {sorted(refused)}, to be refused: {sorted(bad)}; {errors[:3]}"
        return again, refused
