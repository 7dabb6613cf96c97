"""The Avro way in, beside the JSON one and told apart by Content-Type: the same answers, and the bytes as sent are what is kept."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from ingestion.api import answers
from ingestion.api.edge import Arrival, Edge, Taken
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.contracts import download
from ingestion.contracts.avro_wire import MEDIA_TYPES
from ingestion.contracts.families import FamilyRule
from ingestion.contracts.validation import Validator
from ingestion.schema_registry.decoding import AvroJudge, FindText, decoder_of
from ingestion.schema_registry.store import StoreUnavailableError

Endpoint = Callable[[Request], Awaitable[Response]]


class AvroWay:
    """Takes downloads in Avro."""

    def __init__(self, edge: Edge, find_text: FindText) -> None:
        self._edge = edge
        self._decoder = decoder_of(download.CONTRACT, find_text)

    def beside(self, endpoint: Endpoint, rule: FamilyRule, shape: Callable[[Taken, Arrival], Response]) -> Endpoint:
        """The endpoint, but for requests whose body is Avro."""

        def judge_of(validator: Validator) -> AvroJudge:
            return AvroJudge(validator, self._decoder)

        async def work(arrival: Arrival) -> Response:
            await self._learn(arrival.body)
            taken = await self._edge.take_single(arrival, rule, judge_of)
            if taken.receipt.errors:
                return answers.rejected_answer(taken.receipt.errors[0], arrival.sender.received_at)
            return shape(taken, arrival)

        async def choose(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type not in MEDIA_TYPES:
                return await endpoint(request)
            return await self._edge.respond(request, is_batch=False, work=work)

        return choose

    async def _learn(self, body: bytes) -> None:
        """Looks the schema up before the event is judged: judging must not wait for a database."""
        if self._decoder.knows(body):
            return
        try:
            await asyncio.to_thread(self._decoder.learn, [body])
        except StoreUnavailableError as error:
            raise RequestError(
                ErrorCode.UNAVAILABLE, f"the schema registry's store does not answer: {error}"
            ) from error
