"""Errors that no route answered, as problems: unknown paths, wrong methods, malformed requests and what failed unexpectedly."""

import traceback
from pathlib import Path

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.types import Scope

from ingestion.api.answers import problem_answer

log = structlog.get_logger(__name__)
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
_CODES = {404: "not_found", 405: "method_not_allowed"}


def install_error_handlers(app: FastAPI) -> None:
    """Makes every such error a problem."""

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = _CODES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")
        headers = dict(error.headers or {})
        if error.status_code == 405 and (allowed := allowed_methods(app, request.scope)):
            headers["Allow"] = ", ".join(allowed)
        return problem_answer(code, error.status_code, str(error.detail), headers)

    async def on_invalid_request(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_answer("bad_request", 422, describe_invalid(error))

    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(Exception, answer_unexpected)


def allowed_methods(app: FastAPI, scope: Scope) -> list[str]:
    """The methods that the request's path is served with, in order. There is a route per method, and a route knows its own only.

    What is mounted answers for itself and is left out: a mount matches whatever the method.
    """
    known = {name: scope[name] for name in ("type", "path", "raw_path") if name in scope}
    # A mount that the request went through has made root_path its own.
    known["root_path"] = scope.get("app_root_path", scope.get("root_path", ""))
    routes = [route for route in app.router.routes if not isinstance(route, Mount)]
    return [
        method
        for method in _METHODS
        if any(route.matches({**known, "method": method})[0] is Match.FULL for route in routes)
    ]


def describe_invalid(error: RequestValidationError) -> str:
    """Which parameters are not valid, and why."""
    return "; ".join(f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}" for item in error.errors())


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """See unexpected_answer."""
    return unexpected_answer(request.url.path, error)


def unexpected_answer(path: str, error: Exception) -> Response:
    """A problem that says nothing; the log says where it failed, not what: an exception's text may hold what was sent."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    log.error(
        "request failed",
        path=path,
        error=type(error).__name__,
        at=f"{Path(frame.filename).name}:{frame.lineno}",
    )
    return problem_answer("internal", 500, "the request failed; the log says why")
