"""Requests answered below ASGI: whole, small, plain ones, whose answer is a few bytes.

A task, a scope, an event and two messages per request cost more than taking an event into a broker's queue does (measured; decision
0022). A handler may take such a request and answer it later; what it does not take goes the general way, as if it had just come.
Pipelining, keep-alive, the guard's limits and a graceful stop hold for both alike.
"""

import asyncio
import time
from collections.abc import Callable, Container
from functools import partial
from typing import Any, ClassVar, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from runtime.connections import ConnectionGuard, GuardedProtocol, Refusal
from runtime.gathered_writes import GatheredWrites

Headers = list[tuple[bytes, bytes]]
Answer = Callable[[int, bytes, bytes], None]
"""Takes the status, the header lines (each with its end, Content-Length among them) and the body. From the event loop, once."""

# Few events are larger, and what is held back here is in memory beside the application's own limits.
_HELD_MAX_BYTES = 16 * 1024
_NOBODY_WAITS = asyncio.Event()


class ExpressHandler(Protocol):
    """Takes requests that need no ASGI."""

    @property
    def paths(self) -> Container[bytes]:
        """Targets of POST requests to be asked about, exactly as they are written."""
        ...

    def take(self, path: bytes, headers: Headers, body: bytes, address: str, started: float, answer: Answer) -> bool:
        """True when `answer` will be called; False leaves the request as it was. `started`: of time.perf_counter. Never raises."""
        ...


class _Pending:
    """Stands where uvicorn has its cycle while a request that was taken has no answer yet."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "response_complete", "response_started")

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self.message_event = _NOBODY_WAITS


def express_protocol(guard: ConnectionGuard, handler: ExpressHandler) -> type[GuardedProtocol]:
    """The class for uvicorn's `http=`: `handler` is asked first."""
    members = {"guard": guard, "handler": handler}
    return cast(type[ExpressProtocol], type("ExpressProtocol", (ExpressProtocol,), members))


class ExpressProtocol(GuardedProtocol):
    """A guarded connection that holds a request back until it is whole, when it may be one for the handler."""

    handler: ClassVar[ExpressHandler]

    __slots__ = ("_body", "_date", "_date_line", "_keep_alive", "_started")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        self._body: bytes | None = None
        self._date: object = None
        self._date_line = b""
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._body is not None:
            self._go_general()  # which counts that the client left
        super().connection_lost(exc)

    def refuse(self, refusal: Refusal) -> None:
        """Of a request that is held back, the general way is refused."""
        if self._body is not None:
            self._go_general()
        super().refuse(refusal)

    def begin_request(self) -> None:
        """Holds back what may be for the handler."""
        cycle, parser = self.cycle, self.parser
        if (
            self.url in self.handler.paths
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and (cycle is None or cycle.response_complete)
            and not self.expect_100_continue
            and not parser.should_upgrade()
            and len(self.connections) < self.guard.limits.max_connections
            and len(self.tasks) < self.guard.limits.max_connections
        ):
            self._started = time.perf_counter()
            self._keep_alive = parser.should_keep_alive()
            self._body = b""
        else:
            GuardedProtocol.begin_request(self)

    def on_body(self, body: bytes) -> None:
        if self._body is None:
            HttpToolsProtocol.on_body(self, body)
        else:
            self._body += body
            if len(self._body) > _HELD_MAX_BYTES:
                self._go_general()

    def on_message_complete(self) -> None:
        body = self._body
        if body is not None:
            pending = _Pending(self._keep_alive)
            former, self.cycle = self.cycle, cast(RequestResponseCycle, pending)
            address = self.client[0] if self.client else ""
            if self.handler.take(self.url, self.headers, body, address, self._started, partial(self._answer, pending)):
                self._body = None
                self.note_complete(self.cycle)
                return
            self.cycle = former
            self._go_general()
        GuardedProtocol.on_message_complete(self)

    def _go_general(self) -> None:
        """What was held back goes to ASGI."""
        body, self._body = self._body, None
        GuardedProtocol.begin_request(self)
        if body:
            HttpToolsProtocol.on_body(self, body)

    def _answer(self, pending: _Pending, status: int, fields: bytes, body: bytes) -> None:
        pending.response_complete = True
        transport = cast(GatheredWrites, cast(Any, self.transport))
        if pending.disconnected or transport.is_closing():
            return
        end = b"\r\n" if pending.keep_alive else b"connection: close\r\n\r\n"
        transport.write_now(b"".join((STATUS_LINE[status], self._default_lines(), fields, end, body)))
        if not pending.keep_alive:
            transport.close()
        if self.pipeline:
            self.on_response_complete()
        else:  # without its timer for idle connections: the guard's sweep finds them too
            self.server_state.total_requests += 1

    def _default_lines(self) -> bytes:
        """The header lines of every answer. uvicorn makes a new list of them each second."""
        fields = self.server_state.default_headers
        if fields is not self._date:
            self._date = fields
            self._date_line = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        return self._date_line
