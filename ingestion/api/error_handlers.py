"""Errors that no route answered, as problems: unknown paths, wrong methods, malformed requests and what failed unexpectedly."""

import traceback
from pathlib import Path

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ingestion.api.answers import problem_answer

log = structlog.get_logger(__name__)
_CODES = {404: "not_found", 405: "method_not_allowed"}


def install_error_handlers(app: FastAPI) -> None:
    """Makes every such error a problem."""

    async def on_http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = _CODES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")
        return problem_answer(code, error.status_code, str(error.detail), error.headers)

    async def on_invalid_request(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = "; ".join(f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}" for item in error.errors())
        return problem_answer("bad_request", 422, found)

    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(Exception, answer_unexpected)


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """A problem that says nothing; the log says where it failed, not what: an exception's text may hold what was sent."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    log.error(
        "request failed",
        path=request.url.path,
        error=type(error).__name__,
        at=f"{Path(frame.filename).name}:{frame.lineno}",
    )
    return problem_answer("internal", 500, "the request failed; the log says why")
