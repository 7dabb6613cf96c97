"""The Avro way in, beside the JSON one and told apart by Content-Type: the same answers, and the bytes as sent are what is kept."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from ingestion.api.direct import Endpoint
from ingestion.api.edge import Arrival, Edge, Work
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.contracts import download
from ingestion.contracts.avro_wire import MEDIA_TYPES
from ingestion.contracts.validation import Validator
from ingestion.schema_registry.decoding import AvroJudge, FindText, decoder_of
from ingestion.schema_registry.store import StoreUnavailableError


class AvroWay:
    """Takes downloads in Avro."""

    def __init__(self, edge: Edge, find_text: FindText) -> None:
        self._edge = edge
        self._decoder = decoder_of(download.CONTRACT, find_text)

    def judge_of(self, validator: Validator) -> AvroJudge:
        """Who judges Avro bodies."""
        return AvroJudge(validator, self._decoder)

    def beside(self, endpoint: Endpoint, route: str, take: Work) -> Endpoint:
        """The endpoint, but for requests whose body is Avro: `take` gets those once their schema is known."""

        async def work(arrival: Arrival) -> Response:
            await self._learn(arrival.body)
            return await take(arrival)

        async def choose(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type not in MEDIA_TYPES:
                return await endpoint(request)
            return await self._edge.respond(request, route=route, is_batch=False, work=work)

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
