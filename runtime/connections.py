"""HTTP connections that cannot be held: limits that uvicorn does not know.

A head must be complete within a time and a size, a body must make progress and end, an answer must be read, and a connection may not
queue requests without end. Deadlines are looked at by one sweep per second over all connections, so that a request costs no timer.
What is refused is answered where that is possible (nothing of an answer was sent, no earlier request waits for its own) and closed.

Holds no words for clients: the service that uses it brings its own answers.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, cast

import uvicorn.protocols.http.flow_control
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from runtime.gathered_writes import GatheredWrites

_SWEEP_SECONDS = 1.0
# How long a refused client may go on sending before the connection is closed under it: closing at once resets it, answer unread.
_LINGER_SECONDS = 1.0


class Refusal(StrEnum):
    """Why a connection is ended. The first group is answered where possible, the second only closed."""

    SLOW_HEAD = "slow_head"
    SLOW_BODY = "slow_body"
    LARGE_HEAD = "large_head"
    MALFORMED = "malformed"
    TOO_MANY_CONNECTIONS = "too_many_connections"

    TOO_MANY_PIPELINED = "too_many_pipelined"
    IDLE = "idle"
    SLOW_READER = "slow_reader"


@dataclass(frozen=True)
class ConnectionLimits:
    """Bounds of one process."""

    max_connections: int = 2000
    """Requests beyond are answered 503; connections beyond twice as many are closed at once."""
    head_timeout_seconds: float = 10.0
    head_max_bytes: int = 64 * 1024
    head_max_fields: int = 100
    body_timeout_seconds: float = 30.0
    body_silence_seconds: float = 10.0
    answer_silence_seconds: float = 30.0
    max_pipelined: int = 16
    keep_alive_seconds: float = 30.0


# What a connection waits for. Plain numbers: an enumeration's member takes longer to look up than the rest of a check.
_IDLE, _HEAD, _BODY = range(3)


class _LimitError(Exception):
    """Stops the parser; what was broken is noted in the connection."""


class ConnectionGuard:
    """The limits of a service, its answers to what breaks them, and the sweep over its connections."""

    def __init__(
        self,
        limits: ConnectionLimits,
        answer: Callable[[Refusal], Response],
        on_refusal: Callable[[Refusal], None] = lambda _: None,
    ) -> None:
        self.limits = limits
        self.answer = answer
        self.note = on_refusal
        self.connections: set[GuardedProtocol] = set()
        self._is_sweeping = False

    def protocol(self) -> type["GuardedProtocol"]:
        """The class for uvicorn's `http=`."""
        return cast(type[GuardedProtocol], type("GuardedProtocol", (GuardedProtocol,), {"guard": self}))

    def watch(self, connection: "GuardedProtocol") -> None:
        """Sweeps while there are connections."""
        self.connections.add(connection)
        if not self._is_sweeping:
            self._is_sweeping = True
            connection.loop.call_later(_SWEEP_SECONDS, self._sweep, connection.loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self.connections):
            connection.assure_progress(now)
        self._is_sweeping = bool(self.connections)
        if self._is_sweeping:
            loop.call_later(_SWEEP_SECONDS, self._sweep, loop)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol under a guard. Methods of every request name their base: `super()` costs as much as they do."""

    guard: ClassVar[ConnectionGuard]

    # Beside uvicorn's own attributes, not among them: more than thirty in one dictionary slow all of them down.
    __slots__ = (
        "_breach", "_chunk_bytes", "_head_bytes", "_heard_at", "_is_refused", "_phase", "_read_at", "_running", "_since",
        "_unread_bytes",
    )  # fmt: skip

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.transport = cast(asyncio.Transport, GatheredWrites(transport, self.loop))
        self._phase, self._is_refused = _IDLE, False
        self._breach: Refusal | None = None
        self._running: RequestResponseCycle | None = None
        self._head_bytes = self._chunk_bytes = self._unread_bytes = 0
        self._since = self._heard_at = self._read_at = self.loop.time()
        self.guard.watch(self)
        if len(self.guard.connections) > 2 * self.guard.limits.max_connections:
            self.guard.note(Refusal.TOO_MANY_CONNECTIONS)
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._heard_at = self.loop.time()
        self._chunk_bytes = len(data)
        HttpToolsProtocol.data_received(self, data)
        if self._phase == _HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > self.guard.limits.head_max_bytes and not self._is_refused:
                self.refuse(Refusal.LARGE_HEAD)

    def on_message_begin(self) -> None:
        HttpToolsProtocol.on_message_begin(self)
        self._phase = _HEAD
        self._since = self._heard_at
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        limits = self.guard.limits
        if len(self.headers) > limits.head_max_fields:
            self._stop_parser(Refusal.LARGE_HEAD)
        # What came before this chunk plus all of it: only when that is too much is the head itself measured.
        if self._head_bytes + self._chunk_bytes > limits.head_max_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > limits.head_max_bytes:
                self._stop_parser(Refusal.LARGE_HEAD)
        if len(self.pipeline) >= limits.max_pipelined:
            self._stop_parser(Refusal.TOO_MANY_PIPELINED)
        self.begin_request()
        self._phase = _BODY
        self._since = self._heard_at

    def begin_request(self) -> None:
        """The head is good: on to the application."""
        HttpToolsProtocol.on_headers_complete(self)

    def on_message_complete(self) -> None:
        self._phase = _IDLE
        self._since = self._heard_at
        HttpToolsProtocol.on_message_complete(self)

    def note_complete(self, cycle: RequestResponseCycle) -> None:
        """A request is whole and `cycle` stands for its answer, without uvicorn's own way."""
        self._phase = _IDLE
        self._since = self._heard_at
        self._running = cycle

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if app is uvicorn.protocols.http.flow_control.service_unavailable:
            self.guard.note(Refusal.TOO_MANY_CONNECTIONS)
            app = self.guard.answer(Refusal.TOO_MANY_CONNECTIONS)
            cycle.keep_alive = False
        HttpToolsProtocol._start_asgi_task(self, cycle, app)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature; its words are the same for everything
        """Called where the parser gave up, by itself or stopped."""
        self.refuse(self._breach or Refusal.MALFORMED)

    def _stop_parser(self, breach: Refusal) -> None:
        self._breach = breach
        raise _LimitError

    def assure_progress(self, now: float) -> None:
        """Ends the connection when its time is up."""
        limits = self.guard.limits
        if self._is_answer_stuck(now):
            self.guard.note(Refusal.SLOW_READER)
            self.transport.abort()
            return
        if self._is_refused or self.transport.is_closing():
            return
        if self.flow.read_paused:
            # It is us who do not listen: the client's time stands still.
            self._heard_at = now
            self._since += _SWEEP_SECONDS
        if self._phase == _HEAD:
            if now - self._since > limits.head_timeout_seconds:
                self.refuse(Refusal.SLOW_HEAD)
        elif self._phase == _BODY:
            if now - self._since > limits.body_timeout_seconds or now - self._heard_at > limits.body_silence_seconds:
                self.refuse(Refusal.SLOW_BODY)
        elif self._running is None or self._running.response_complete:
            # uvicorn's own timer ends with the first byte, also with one that begins no request.
            allowed = limits.head_timeout_seconds if self._running is None else limits.keep_alive_seconds
            if now - self._since > allowed + _SWEEP_SECONDS:
                if self._running is None:
                    self.guard.note(Refusal.IDLE)
                self.transport.close()
        else:
            self._since = now

    def _is_answer_stuck(self, now: float) -> bool:
        """Whether the client has read nothing of what waits for it for too long."""
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes == 0 or unread_bytes != self._unread_bytes:
            self._unread_bytes, self._read_at = unread_bytes, now
        return now - self._read_at > self.guard.limits.answer_silence_seconds

    def refuse(self, refusal: Refusal) -> None:
        """Answers if the client can tell what the answer belongs to, and ends the connection."""
        self._is_refused = True
        self.guard.note(refusal)
        self._unset_keepalive_if_required()
        running = self._running
        if running is None or running.response_complete:
            is_answerable = not (self._phase == _BODY and running is self.cycle)
        elif running is self.cycle and self._phase == _BODY:
            is_answerable = not running.response_started
            running.disconnected = True
            running.message_event.set()
        else:
            # An earlier request is being worked on: its answer comes first, and is the last.
            self.pipeline.clear()
            running.keep_alive = False
            return
        if not is_answerable:
            self.transport.close()
            return
        self._write(self.guard.answer(refusal))
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _write(self, answer: Response) -> None:
        fields = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        self.transport.write(STATUS_LINE[answer.status_code] + head + b"\r\n" + bytes(answer.body))
