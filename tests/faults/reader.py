"""A reader of the analytics API beside the faults: no publication goes back, and one publication has one answer.

It asks for the totals of the current publication and, every few looks, for those of an earlier one it has seen. Not being answered is
allowed while something is down, and an earlier publication may have expired; a different answer never is.
"""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

_PAUSE_SECONDS = 0.25
_NOTHING = -1
_LOOK_BACK_EVERY = 4
_GONE = 410


@dataclass
class Readings:
    """What was read: totals by publication, and every contradiction in words. `looked_back`: answers as of an earlier publication."""

    totals: dict[int, Any] = field(default_factory=dict)
    answer_count: int = 0
    looked_back: int = 0
    failure_count: int = 0
    contradictions: list[str] = field(default_factory=list)


class ConcurrentReader:
    """One thread with one client. `readings` is complete after `finish`."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._until = datetime.now(UTC).date() + timedelta(days=2)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._newest = _NOTHING
        self._death = ""
        self.readings = Readings()

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def finish(self) -> Readings:
        """Ends reading. Raises: AssertionError when it had ended by itself."""
        self._stopping.set()
        self._thread.join(60)
        assert not self._death, f"the reader died: {self._death}"
        return self.readings

    def _run(self) -> None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - told by finish(), in the thread that can fail the run
            self._death = repr(error)

    def _read(self) -> None:
        looks = 0
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=10) as client:
            while not self._stopping.wait(_PAUSE_SECONDS):
                looks += 1
                known = sorted(self.readings.totals)
                asked = known[looks % len(known)] if known and looks % _LOOK_BACK_EVERY == 0 else None
                try:
                    self._look(client, asked)
                except (httpx.HTTPError, ValueError):
                    self.readings.failure_count += 1

    def _look(self, client: httpx.Client, asked: int | None) -> None:
        parameters: dict[str, Any] = {
            "until": f"{self._until}T00:00:00Z",
            "hours_back": 168,
            "time_window": "1day",
            "limit": 1000,
        }
        if asked is not None:
            parameters["publication"] = asked
        answer = client.get("/api/v1/analytics/events", params=parameters)
        if answer.status_code >= 500 or answer.status_code == _GONE:
            self.readings.failure_count += 1
            return
        if answer.status_code != 200:
            self.readings.contradictions.append(f"{answer.status_code}: {answer.text[:200]}")
            return
        body = answer.json()
        publication = _NOTHING if body["publication"] is None else body["publication"]
        if publication != _NOTHING or self._newest != _NOTHING:
            self.note(publication, body["metrics"], asked)

    def note(self, publication: int, metrics: list[dict[str, Any]], asked: int | None) -> None:
        """Holds one answer against all before it."""
        readings = self.readings
        readings.answer_count += 1
        readings.looked_back += asked is not None
        totals = sorted(
            (row["window_start"], row["event_type"], row["platform"], row["event_count"], row["unique_users"])
            for row in metrics
        )
        if asked is not None and publication != asked:
            readings.contradictions.append(f"publication {asked} was asked for, {publication} answered")
        if asked is None and publication < self._newest:
            readings.contradictions.append(f"publication {publication} after {self._newest}")
        if asked is None:
            self._newest = max(self._newest, publication)
        earlier = readings.totals.setdefault(publication, totals)
        if earlier != totals:
            readings.contradictions.append(f"publication {publication} had {earlier}, then {totals}")
