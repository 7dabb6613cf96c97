"""One request on its way in: let in by the guard, read within limits, taken by the intake, timed. Routes only shape the answers."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote
from uuid import uuid4

from starlette.datastructures import Address, Headers
from starlette.requests import Request
from starlette.responses import Response

from ingestion.api.answers import error_answer
from ingestion.api.auth import Caller
from ingestion.api.bodies import BodyBudget, BodyReader
from ingestion.api.broker_monitor import BrokerMonitor
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.guard import Guard
from ingestion.api.idempotency import IdempotencyKeys, UsedKeys
from ingestion.api.intake import Intake, JudgeOf, Sender, Taken
from ingestion.api.metrics import Metrics
from ingestion.contracts.families import FamilyRule
from ingestion.contracts.registry import REGISTRY, Contract, UnknownContractError
from ingestion.contracts.strict_json import StrictJsonError
from ingestion.contracts.validation import Rejection, ValidEvent
from ingestion.settings import IngestionSettings
from ingestion.sinks.records import new_event_ids

# Tells the sender which app its events belong to; receipts carry it.
APP_HEADER = "X-Tidemark-App"
# Names a batch in the answer and in the log: the client's own, if it is a plain word.
REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
# Names the contract, with its version, that every event of the request keeps.
CONTRACT_HEADER = "X-Tidemark-Contract"
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


@dataclass(frozen=True)
class Arrival:
    """A request that may write, with its body."""

    sender: Sender
    body: bytes
    idempotency_key: str | None


Work = Callable[[Arrival], Awaitable[Response]]
KeyOfBody = Callable[[bytes], str | None]
"""The key that a body carries, for clients that send none in a header."""


class Edge:
    """What every ingest route shares."""

    def __init__(
        self,
        settings: IngestionSettings,
        guard: Guard,
        intake: Intake,
        monitor: BrokerMonitor,
        metrics: Metrics,
        clock: Callable[[], datetime],
        used_keys: UsedKeys | None = None,
    ) -> None:
        self.settings = settings
        self.intake = intake
        self.clock = clock
        self._guard = guard
        self._monitor = monitor
        self.metrics = metrics
        self._budget = BodyBudget(settings.bodies_max_bytes)
        self._keys = IdempotencyKeys(used_keys)

    async def respond(
        self, request: Request, *, route: str, is_batch: bool, work: Work, key_of_body: KeyOfBody | None = None
    ) -> Response:
        """The answer of `work`, or the refusal of the request as a whole."""
        started = time.perf_counter()
        with BodyReader(request, self._budget) as reader:
            try:
                arrival = await self._arrive(request, reader, is_batch, key_of_body)
                response = await work(arrival)
                response.headers[APP_HEADER] = quote(arrival.sender.app_id)
                if is_batch:
                    response.headers[REQUEST_ID_HEADER] = arrival.sender.request_id
            except RequestError as error:
                await reader.drain()
                self.metrics.note_refusal(error.code.value)
                response = error_answer(error, self.settings.retry_after_seconds)
        self.metrics.note_request(route, response.status_code, time.perf_counter() - started)
        return response

    async def _arrive(
        self, request: Request, reader: BodyReader, is_batch: bool, key_of_body: KeyOfBody | None
    ) -> Arrival:
        headers, body = request.headers, None
        if key_of_body is not None and "authorization" not in headers and "x-api-key" not in headers:
            body = await self._read(reader, is_batch)
            key = key_of_body(body)
            headers = headers if key is None else Headers(raw=[(b"authorization", b"Bearer " + key.encode())])
        caller = await self.admit(headers, request.client)
        if body is None:
            body = await self._read(reader, is_batch)
        trace_parent = request.headers.get("traceparent")
        if trace_parent is not None and not _TRACE_PARENT.match(trace_parent):
            trace_parent = None
        request_id, contract = _request_id(request) if is_batch else "", _chosen_contract(request)
        sender = Sender(caller.app_id, self.clock(), trace_parent, caller.guarded_apps, request_id, contract)
        return Arrival(sender, body, request.headers.get("idempotency-key"))

    async def admit(self, headers: Headers, client: Address | tuple[str, int] | None) -> Caller:
        """Who sends, when it may and the broker is there. Raises: RequestError."""
        caller = await self._guard.admit(headers, client[0] if client is not None else "")
        if self._monitor.refusal is not None:
            raise RequestError(ErrorCode.UNAVAILABLE, self._monitor.refusal)
        return caller

    def admit_known(self, credentials: Mapping[str, str], address: str) -> Caller | None:
        """The caller, where nobody needs to be asked whether it may send; None also when it may not."""
        return None if self._monitor.refusal is not None else self._guard.admit_known(credentials, address)

    async def _read(self, reader: BodyReader, is_batch: bool) -> bytes:
        if is_batch:
            return await reader.read(self.settings.batch_body_max_bytes, self.settings.unpacked_body_max_bytes)
        return await reader.read(self.settings.single_body_max_bytes)

    async def take_single(self, arrival: Arrival, family_rule: FamilyRule, judge_of: JudgeOf | None = None) -> Taken:
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

        if key is not None:
            await self._keys.recall(sender.app_id, key)
        receipt = await self.intake.take([arrival.body], sender, family_rule, choose, judge_of)
        if receipt.accepted and key is not None:
            await self._keys.remember(sender.app_id, key, event_id)
        return Taken(receipt, event_id, contract)

    async def keep_unreadable(self, arrival: Arrival, error: StrictJsonError) -> None:
        """Keeps a batch body that is no list of events as one dead letter. Raises: RequestError when it cannot be kept."""
        await self.intake.keep(arrival.body, Rejection(error.reason, error.message), arrival.sender)


def _request_id(request: Request) -> str:
    """What the client calls its request, or a fresh id."""
    own = request.headers.get(REQUEST_ID_HEADER, "")
    return own if _REQUEST_ID.match(own) else uuid4().hex


def _chosen_contract(request: Request) -> Contract | None:
    name = request.headers.get(CONTRACT_HEADER)
    try:
        return None if name is None else REGISTRY.choose(name)
    except UnknownContractError as error:
        raise RequestError(ErrorCode.INVALID_HEADER, f"{CONTRACT_HEADER}: {error}") from None
