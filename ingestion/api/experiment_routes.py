"""The registry of experiments over HTTP: `PUT` and `GET /experiments/{id}`, `GET /experiments`. Of the key's app only.

A write key does all of it: the registry is the producers' configuration, and their SDK reads it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from ingestion.api.answers import error_answer, json_answer
from ingestion.api.bodies import BodyBudget, BodyReader
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.api.experiments import ExperimentRegistry
from ingestion.api.guard import Guard
from ingestion.api.metrics import Metrics
from ingestion.api.openapi import LIMIT_HEADERS, SECURITY
from ingestion.api.problems import PROBLEM_MEDIA_TYPE
from ingestion.contracts.experiments import (
    Experiment,
    ExperimentBody,
    ExperimentConflictError,
    ExperimentError,
    read_experiment,
)

BODY_MAX_BYTES = 64 * 1024
_PUT_TIMEOUT_SECONDS = 8.0
Work = Callable[[Request, str], Awaitable[Response]]


def make_experiment_router(
    registry: ExperimentRegistry,
    guard: Guard,
    metrics: Metrics,
    clock: Callable[[], datetime],
    retry_after_seconds: int,
) -> APIRouter:
    """The three routes."""
    budget = BodyBudget(64 * BODY_MAX_BYTES)

    async def put(request: Request, app_id: str) -> Response:
        with BodyReader(request, budget) as reader:
            try:
                body = await reader.read(BODY_MAX_BYTES)
            except RequestError:
                await reader.drain()
                raise
            new = _read(request, body)
        try:
            work = asyncio.to_thread(registry.put, app_id, new, clock())
            change = await asyncio.wait_for(work, _PUT_TIMEOUT_SECONDS)
        except ExperimentConflictError as error:
            raise RequestError(ErrorCode.EXPERIMENT_CONFLICT, str(error)) from None
        except Exception as error:
            raise _unavailable() from error
        return json_answer(201 if change == "created" else 200, _answer(new))

    async def get(request: Request, app_id: str) -> Response:
        experiment_id = request.path_params["experiment_id"]
        found = registry.find(app_id, experiment_id)
        if found is None and not registry.is_current:
            raise _unavailable()
        if found is None:
            raise RequestError(ErrorCode.UNKNOWN_EXPERIMENT, "no experiment of this id is registered")
        return json_answer(200, _answer(found))

    async def get_all(_request: Request, app_id: str) -> Response:
        found = registry.of_app(app_id)
        if not found and not registry.is_current:
            raise _unavailable()
        return json_answer(200, {"experiments": [_answer(each) for each in found], "total_count": len(found)})

    def respond(work: Work) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            started = time.perf_counter()
            try:
                caller = await guard.admit_caller(request.headers, request.client.host if request.client else "")
                response = await work(request, caller.app_id)
            except RequestError as error:
                response = error_answer(error, retry_after_seconds)
            route = getattr(request.scope.get("route"), "path", "unknown")
            metrics.note_request(route, response.status_code, time.perf_counter() - started)
            return response

        return endpoint

    router = APIRouter(tags=["experiments"])
    one = "/experiments/{experiment_id}"
    router.add_api_route(one, respond(put), methods=["PUT"], name="put_experiment", **_documented("put"))
    router.add_api_route(one, respond(get), methods=["GET"], name="get_experiment", **_documented("get"))
    router.add_api_route("/experiments", respond(get_all), methods=["GET"], name="experiments", **_documented("list"))
    return router


def _read(request: Request, body: bytes) -> Experiment:
    try:
        return read_experiment(request.path_params["experiment_id"], body)
    except ExperimentError as error:
        raise RequestError(ErrorCode.INVALID_EXPERIMENT, str(error)) from None


def _answer(experiment: Experiment) -> dict[str, Any]:
    return msgspec.structs.asdict(experiment)


def _unavailable() -> RequestError:
    return RequestError(ErrorCode.UNAVAILABLE, "the experiments' store does not answer")


_REFUSALS = {
    "put": (400, 401, 403, 408, 409, 413, 415, 422, 429, 431, 503),
    "get": (400, 401, 403, 404, 408, 429, 431, 503),
    "list": (400, 401, 403, 408, 429, 431, 503),
}
_MEANINGS = {
    400: "Not HTTP, or a body that was cut off",
    401: "Key missing, unknown or revoked",
    403: "A read key",
    404: "Not registered",
    408: "Headers or body did not come in time",
    409: "The experiment has started and may not change so",
    413: "Body too large",
    415: "A body that is encoded",
    422: "Not an experiment",
    429: "Too many requests: send the same again after Retry-After seconds",
    431: "Too many headers, or too long ones",
    503: "The store is away",
}
_SUMMARIES = {"put": "Register an experiment", "get": "One experiment", "list": "All experiments of the key's app"}


def _documented(what: str) -> dict[str, Any]:
    """Keyword arguments that document a route."""
    components = msgspec.json.schema_components([ExperimentBody, Experiment])[1]
    schema: dict[str, Any] = components["Experiment"]
    if what == "list":
        listed = {"experiments": {"type": "array", "items": schema}, "total_count": {"type": "integer", "minimum": 0}}
        schema = {"type": "object", "required": list(listed), "properties": listed}
    answers: dict[int | str, dict[str, Any]] = {
        status: {
            "description": _MEANINGS[status],
            "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Refusal"}}},
        }
        for status in _REFUSALS[what]
    }
    answers[429]["headers"] = LIMIT_HEADERS
    answers[200] = {"description": "As it is", "content": {"application/json": {"schema": schema}}}
    extra: dict[str, Any] = {"security": SECURITY}
    if what != "list":
        extra["parameters"] = [
            {
                "name": "experiment_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1, "maxLength": 100},
            }
        ]
    if what == "put":
        answers[201] = {**answers[200], "description": "Registered"}
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": components["ExperimentBody"]}},
        }
    return {"summary": _SUMMARIES[what], "response_model": None, "openapi_extra": extra, "responses": answers}
