"""One request on its way in: authenticated, read within limits, taken by the intake, timed. Routes only shape the answers."""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from ingestion.api.answers import error_answer
from ingestion.api.auth import Authenticator
from ingestion.api.bodies import BodyBudget, BodyReader
from ingestion.api.broker_monitor import BrokerMonitor
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.idempotency import IdempotencyKeys
from ingestion.api.intake import Intake, Receipt, Sender
from ingestion.api.metrics import Metrics
from ingestion.contracts.families import FamilyRule
from ingestion.contracts.strict_json import StrictJsonError
from ingestion.contracts.validation import Rejection, ValidEvent
from ingestion.settings import IngestionSettings
from ingestion.sinks.records import new_event_ids

# Tells the sender which app its events belong to; receipts carry it.
APP_HEADER = "X-Tidemark-App"
# Names a batch in the answer and in the log: the client's own, if it is a plain word.
REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


@dataclass(frozen=True)
class Arrival:
    """A request that may write, with its body."""

    sender: Sender
    body: bytes
    idempotency_key: str | None


@dataclass(frozen=True)
class Taken:
    """What became of a single event. Id and contract are empty when it was rejected."""

    receipt: Receipt
    event_id: str
    contract: str


Work = Callable[[Arrival], Awaitable[Response]]


class Edge:
    """What every ingest route shares."""

    def __init__(
        self,
        settings: IngestionSettings,
        authenticator: Authenticator,
        intake: Intake,
        monitor: BrokerMonitor,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.intake = intake
        self.clock = clock
        self._authenticator = authenticator
        self._monitor = monitor
        self._metrics = metrics
        self._budget = BodyBudget(settings.bodies_max_bytes)
        self._keys = IdempotencyKeys()

    async def respond(self, request: Request, *, is_batch: bool, work: Work) -> Response:
        """The answer of `work`, or the refusal of the request as a whole."""
        started = time.perf_counter()
        with BodyReader(request, self._budget) as reader:
            try:
                arrival = await self._arrive(request, reader, is_batch)
                response = await work(arrival)
                response.headers[APP_HEADER] = quote(arrival.sender.app_id)
                if is_batch:
                    response.headers[REQUEST_ID_HEADER] = arrival.sender.request_id
            except RequestError as error:
                await reader.drain()
                self._metrics.note_refusal(error.code.value)
                response = error_answer(error, self.settings.retry_after_seconds)
        route = getattr(request.scope.get("route"), "path", "unknown")
        self._metrics.note_request(route, response.status_code, time.perf_counter() - started)
        return response

    async def _arrive(self, request: Request, reader: BodyReader, is_batch: bool) -> Arrival:
        app_id = await self._authenticator.app_id(request.headers)
        if self._monitor.refusal is not None:
            raise RequestError(ErrorCode.UNAVAILABLE, self._monitor.refusal)
        if is_batch:
            body = await reader.read(self.settings.batch_body_max_bytes, self.settings.unpacked_body_max_bytes)
        else:
            body = await reader.read(self.settings.single_body_max_bytes)
        trace_parent = request.headers.get("traceparent")
        if trace_parent is not None and not _TRACE_PARENT.match(trace_parent):
            trace_parent = None
        sender = Sender(app_id, self.clock(), trace_parent, _request_id(request) if is_batch else "")
        return Arrival(sender, body, request.headers.get("idempotency-key"))

    async def take_single(self, arrival: Arrival, family_rule: FamilyRule) -> Taken:
        """Takes the body as one event."""
        sender, key = arrival.sender, arrival.idempotency_key
        event_id = contract = ""

        def choose(event: ValidEvent) -> str:
            nonlocal event_id, contract
            contract = event.contract
            if key is not None:
                event_id = self._keys.resolve(sender.app_id, key, event.event_id)
            else:
                event_id = event.event_id or new_event_ids(1, sender.received_at)[0]
            return event_id

        receipt = await self.intake.take([arrival.body], sender, family_rule, choose)
        if receipt.accepted and key is not None:
            self._keys.remember(sender.app_id, key, event_id)
        return Taken(receipt, event_id, contract)

    async def keep_unreadable(self, arrival: Arrival, error: StrictJsonError) -> None:
        """Keeps a batch body that is no list of events as one dead letter. Raises: RequestError when it cannot be kept."""
        await self.intake.keep(arrival.body, Rejection(error.reason, error.message), arrival.sender)


def _request_id(request: Request) -> str:
    """What the client calls its request, or a fresh id."""
    own = request.headers.get(REQUEST_ID_HEADER, "")
    return own if _REQUEST_ID.match(own) else uuid4().hex
