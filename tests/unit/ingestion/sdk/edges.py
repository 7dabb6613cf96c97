"""Edges to send to: one that answers from a script, and the real API in this process with faults on the way."""

import gzip
import json
from collections.abc import Callable
from random import Random
from typing import Any

import httpx

from ingestion.sdk import EventClient, Tuning
from tests.unit.ingestion.builders import NOW, EdgeClient

Answer = httpx.Response | Exception | None


def lines_of(request: httpx.Request) -> list[bytes]:
    """The events of a request, unpacked."""
    is_packed = request.headers.get("content-encoding") == "gzip"
    return (gzip.decompress(request.content) if is_packed else request.content).splitlines()


def receipt(count: int, *errors: dict[str, Any]) -> httpx.Response:
    """The answer to `count` lines of which those in `errors` were not accepted."""
    body = {"accepted": count - len(errors), "rejected": len(errors), "errors": errors}
    return httpx.Response(202 if count > len(errors) else 422, json=body)


def rejected(index: int, code: str = "wrong_app") -> dict[str, Any]:
    """A line that is refused for good."""
    return {"index": index, "code": code, "message": "no"}


def undelivered(index: int) -> dict[str, Any]:
    """A line that the broker did not acknowledge."""
    return {"index": index, "code": "not_delivered", "message": "broker", "retryable": True}


class ScriptedEdge:
    """Gives the answers of the script in turn, afterwards accepts everything."""

    def __init__(self, *script: Answer) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []
        self.batches: list[list[dict[str, Any]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        lines = lines_of(request)
        self.requests.append(request)
        self.batches.append([json.loads(line) for line in lines])
        answer = self.script.pop(0) if self.script else None
        if isinstance(answer, Exception):
            raise answer
        return answer or receipt(len(lines))

    @property
    def ids(self) -> list[str]:
        """Of all lines of all requests."""
        return [event["event_id"] for batch in self.batches for event in batch]


class Pauses(list[float]):
    """A sleep that only notes how long it was."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def make_client(edge: Callable[[httpx.Request], httpx.Response], **arguments: Any) -> EventClient:
    """A client of app `shop`, delivering on `flush` only, with a clock that stands still."""
    defaults: dict[str, Any] = {
        "mode": "manual",
        "clock": lambda: NOW,
        "sleep": Pauses(),
        "random": Random(1),
        "tuning": Tuning(first_pause_seconds=0.2, longest_pause_seconds=5.0),
    }
    return EventClient("shop", "http://edge", transport=httpx.MockTransport(edge), **{**defaults, **arguments})


class RealEdge:
    """The API in this process as a transport. `lose_answer`: the next request arrives, its answer does not."""

    def __init__(self, api: EdgeClient) -> None:
        self._api = api
        self.lose_answer = self.lose_request = self.garbled = False
        self.unanswered: set[bytes] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        faults = (self.lose_request, self.lose_answer, self.garbled)
        self.lose_request = self.lose_answer = self.garbled = False
        if faults[0]:
            raise httpx.ConnectError("planted")
        headers = {name: value for name, value in request.headers.items() if name.startswith(("content", "auth"))}
        answer = self._api.request(request.method, request.url.path, content=request.content, headers=headers)
        if any(faults):
            self.unanswered.update(lines_of(request))
        if faults[1]:
            raise httpx.ReadTimeout("planted")
        if faults[2]:
            return httpx.Response(200, text="<html>a proxy's page</html>")
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)
