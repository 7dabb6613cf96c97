"""The short way for a request that holds one plain engagement: the same checks, stamps and counts in as few steps as there are.

What is out of the ordinary in any way (a body in pieces or packed, a key not seen lately, headers that ask for something, an event
that is not plain) is handed on with its body to the general way, `Edge.respond`. A test asks both ways the same and compares.
"""

import time
from collections.abc import Callable
from urllib.parse import quote

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingestion.api.answers import error_answer
from ingestion.api.edge import APP_HEADER, Arrival, Edge
from ingestion.api.errors import RequestError
from ingestion.api.intake import Sender, Taken

_GENERAL_HEADERS = frozenset(
    {b"content-encoding", b"idempotency-key", b"traceparent", b"expect", b"transfer-encoding", b"x-tidemark-contract"}
)
_encode = msgspec.json.Encoder().encode


class SingleLane:
    """An ASGI application in front of `general`, which takes what this one does not."""

    def __init__(
        self, edge: Edge, general: ASGIApp, route: str, status: int, body: Callable[[Taken, Arrival], dict[str, str]]
    ) -> None:
        self._edge = edge
        self._general = general
        self._route = route
        self._status = status
        self._body = body
        self._heads: dict[str, list[tuple[bytes, bytes]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        started = time.perf_counter()
        message = await receive()
        answer = None
        if message["type"] == "http.request" and not message.get("more_body", False):
            try:
                answer = await self._take(scope, message["body"])
            except RequestError as error:
                self._edge.metrics.note_refusal(error.code.value)
                response = error_answer(error, self._edge.settings.retry_after_seconds)
                await response(scope, receive, send)
                self._edge.metrics.note_request(self._route, response.status_code, time.perf_counter() - started)
                return
        if answer is None:
            await self._general(scope, _replayed(message, receive), send)
            return
        head, body = answer
        size = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": self._status, "headers": [*head, size]})
        await send({"type": "http.response.body", "body": body})
        self._edge.metrics.note_request(self._route, self._status, time.perf_counter() - started)

    async def _take(self, scope: Scope, raw: bytes) -> tuple[list[tuple[bytes, bytes]], bytes] | None:
        """(head, body) of the answer to an event that was acknowledged; None for what is not for this way."""
        edge = self._edge
        if not raw or not _GENERAL_HEADERS.isdisjoint(dict(scope["headers"])):
            return None
        received_at = edge.clock()
        event = edge.intake.read_plain(raw, received_at)
        if event is None:
            return None
        caller = await edge.admit(Headers(scope=scope), scope["client"])
        app_id = caller.app_id
        arrival = Arrival(Sender(app_id, received_at), raw, None)
        taken = await edge.intake.take_plain(raw, event, arrival.sender)
        head = self._heads.get(app_id)
        if head is None:
            head = [(b"content-type", b"application/json"), (APP_HEADER.lower().encode(), quote(app_id).encode())]
            self._heads[app_id] = head
        return head, _encode(self._body(taken, arrival))


def _replayed(message: Message, receive: Receive) -> Receive:
    """`receive` with a message that was read already in front."""
    waiting = [message]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
