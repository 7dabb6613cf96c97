"""The short way for a request that holds one plain engagement: the same checks, stamps and counts in as few steps as there are.

Below ASGI (see runtime.express). What is out of the ordinary in any way (a body in pieces or packed, a key not seen lately, headers that
ask for something, an event that is not plain) is left to the general way, `Edge.respond`. A test asks both ways the same and compares.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from ingestion.api.answers import error_answer
from ingestion.api.edge import APP_HEADER, Edge
from ingestion.api.error_handlers import unexpected_answer
from ingestion.api.errors import RequestError
from ingestion.api.intake import PlainTaken
from ingestion.contracts import engagement
from runtime.express import Answer, Headers

# Asked for by name, a request wants more than this way knows.
_GENERAL_HEADERS = frozenset(
    {b"content-encoding", b"idempotency-key", b"traceparent", b"transfer-encoding", b"x-tidemark-contract"}
)
_CREDENTIALS = frozenset({b"authorization", b"x-api-key"})
_encode = msgspec.json.Encoder().encode

_MAX_HEADS = 10_000

Shape = Callable[[str, str, str], dict[str, str]]
"""The answer's body from event id, contract and canonical time of receipt."""


@dataclass(frozen=True)
class _Way:
    """One address: what its answers look like."""

    route: str
    status: int
    shape: Shape


class ExpressLane:
    """An ExpressHandler over the edge."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._ways: dict[bytes, _Way] = {}
        self._heads: dict[str, bytes] = {}

    @property
    def paths(self) -> dict[bytes, _Way]:
        """See ExpressHandler."""
        return self._ways

    def add(self, path: str, status: int, shape: Shape) -> None:
        """Answers plain engagements on `path`."""
        self._ways[path.encode()] = _Way(path, status, shape)

    def take(self, path: bytes, headers: Headers, body: bytes, address: str, started: float, answer: Answer) -> bool:
        """See ExpressHandler. Nothing was done while it says False."""
        edge = self._edge
        try:
            credentials: dict[str, str] = {}
            for name, value in headers:
                if name in _GENERAL_HEADERS:
                    return False
                if name in _CREDENTIALS:
                    credentials.setdefault(name.decode("latin-1"), value.decode("latin-1"))
            received_at = edge.clock()
            event = edge.intake.read_plain(body, received_at)
            if event is None:
                return False
            caller = edge.admit_known(credentials, address)
            if caller is None:
                return False
        except Exception:  # noqa: BLE001 - the general way fails alike, and says so
            return False
        finish = partial(self._finish, self._ways[path], started, answer)
        try:
            taken = edge.intake.begin_plain(body, event, caller.app_id, received_at)
        except Exception as error:  # noqa: BLE001 - it may be on its way: the general way would send it twice
            finish(error, None)
            return True
        if taken.answer is None:
            finish(taken, None)
        else:
            taken.answer.add_done_callback(partial(finish, taken))
        return True

    def _finish(self, way: _Way, started: float, answer: Answer, taken: PlainTaken | Exception, _: object) -> None:
        """Answers what was taken, or failed in a way that nobody foresaw."""
        edge = self._edge
        try:
            if isinstance(taken, Exception):
                raise taken
            edge.intake.end_plain(taken)
            status, head = way.status, self._heads.get(taken.app_id) or self._make_head(taken.app_id)
            body = _encode(way.shape(taken.event_id, engagement.CONTRACT, taken.received_text))
        except RequestError as error:
            edge.metrics.note_refusal(error.code.value)
            status, head, body = _parts(error_answer(error, edge.settings.retry_after_seconds))
        except Exception as error:  # noqa: BLE001 - the boundary of a request, where every failure becomes an answer
            status, head, body = _parts(unexpected_answer(way.route, error))
        answer(status, b"%bcontent-length: %d\r\n" % (head, len(body)), body)
        edge.metrics.note_request(way.route, status, time.perf_counter() - started)

    def _make_head(self, app_id: str) -> bytes:
        head = f"content-type: application/json\r\n{APP_HEADER.lower()}: {quote(app_id)}\r\n".encode()
        if len(self._heads) < _MAX_HEADS:
            self._heads[app_id] = head
        return head


def _parts(response: Response) -> tuple[int, bytes, bytes]:
    fields = [field for field in response.raw_headers if field[0] != b"content-length"]
    return response.status_code, b"".join(b"%b: %b\r\n" % field for field in fields), bytes(response.body)
