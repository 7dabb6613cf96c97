"""What can go wrong while answering, and how it is told: RFC 9457 problem+json, one table from error to status.

ServingError
├── MissingKeyError        401   no key, where one is needed
├── WrongKeyError          401   unknown or revoked
├── CredentialExpiredError 401   a token that was valid once
├── ForbiddenError         403   a write key, or another app
│   └── WrongScopeError    403   a token without scope or app
├── UnknownPublicationError 404
├── ExpiredPublicationError 410  names the nearest kept
├── InvalidParameterError  422   found while answering; FastAPI finds the others
└── UnavailableError       503   retryable: database or lake down, too busy, too slow
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

PROBLEM_MEDIA_TYPE = "application/problem+json"
_URI = "urn:tidemark:problem:"
log = structlog.get_logger(__name__)


class ServingError(Exception):
    """A request that cannot be answered. The message is for the client: it names what was found and what to do next."""

    status = 500
    slug = "internal"
    title = "Internal error"
    headers: ClassVar[Mapping[str, str]] = {}

    def extensions(self) -> dict[str, Any]:
        """Members beside the standard ones."""
        return {}


class MissingKeyError(ServingError):
    """No key was sent."""

    status, slug, title = 401, "missing-key", "A read key is needed"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="tidemark"'}


class WrongKeyError(ServingError):
    """The key is unknown or revoked."""

    status, slug, title = 401, "wrong-key", "The key is not valid"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="tidemark", error="invalid_token"'}


class CredentialExpiredError(ServingError):
    """The bearer token was valid once; its `exp` has passed."""

    status, slug, title = 401, "credential-expired", "The token has expired"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="tidemark", error="invalid_token"'}


class ForbiddenError(ServingError):
    """The key does not allow this."""

    status, slug, title = 403, "forbidden", "The key does not allow this"


class WrongScopeError(ForbiddenError):
    """The bearer token lacks the scope `read`, or names no app."""

    status, slug, title = 403, "wrong-scope", "The token does not allow this"


class UnknownPublicationError(ServingError):
    """There never was such a publication."""

    status, slug, title = 404, "unknown-publication", "No such publication"


class ExpiredPublicationError(ServingError):
    """The publication was made, but its snapshot is no longer kept."""

    status, slug, title = 410, "expired-publication", "The publication is no longer kept"

    def __init__(self, publication_id: int, nearest_id: int | None) -> None:
        hint = f" The nearest kept one is {nearest_id}." if nearest_id else ""
        super().__init__(f"Publication {publication_id} has expired.{hint}")
        self._members = {"publication": publication_id, "nearest_publication": nearest_id}

    def extensions(self) -> dict[str, Any]:
        """The id asked for and the nearest kept one."""
        return self._members


class InvalidParameterError(ServingError):
    """A parameter names what is not there."""

    status, slug, title = 422, "invalid-parameter", "A parameter is out of range"

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(f"{parameter}: {message}")
        self._members = {"errors": [{"parameter": parameter, "message": message}]}

    def extensions(self) -> dict[str, Any]:
        """The parameter that was refused."""
        return self._members


class UnavailableError(ServingError):
    """Something that the answer needs is away for the moment. Retryable."""

    status, slug, title = 503, "unavailable", "Temporarily unavailable"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "2"}

    def extensions(self) -> dict[str, Any]:
        """Tells clients that trying again helps."""
        return {"retryable": True}


@dataclass(frozen=True)
class ProblemType:
    """A kind of refusal, for the documentation."""

    slug: str
    status: int
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        """The stable `type`."""
        return _URI + self.slug


def _type_of(error: type[ServingError], remedy: str) -> ProblemType:
    return ProblemType(error.slug, error.status, str(error.__doc__).partition("\n")[0], remedy)


PROBLEM_TYPES = (
    _type_of(MissingKeyError, "Send a read key of `tidemark keys create APP --kind read`."),
    _type_of(WrongKeyError, "Check the key with `tidemark keys list`, or ask the token's issuer for one."),
    _type_of(CredentialExpiredError, "Ask the token's issuer for a new one."),
    _type_of(ForbiddenError, "Use a read key of the app that is asked about."),
    _type_of(WrongScopeError, "Ask the token's issuer for the scope and the app's claim."),
    _type_of(UnknownPublicationError, "See `/api/v1/publications`."),
    _type_of(ExpiredPublicationError, "Ask for the publication that `nearest_publication` names."),
    ProblemType("invalid-parameter", 422, "Parameters are out of range; `errors` names each.", "Correct them."),
    _type_of(UnavailableError, "Ask again after `Retry-After` seconds."),
    ProblemType("http", 404, "No such path (404), or not by this method (405).", "See `/docs`."),
    ProblemType(
        "internal", 500, "The request failed for a reason that the log names.", "Ask again, or look into the log."
    ),
)


class ParameterProblem(BaseModel):
    """One parameter that was refused."""

    parameter: str = Field(examples=["hours_back"])
    message: str = Field(examples=["Input should be less than or equal to 168"])


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(examples=["urn:tidemark:problem:invalid-parameter"])
    title: str = Field(examples=["A parameter is out of range"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["hours_back: Input should be less than or equal to 168"])
    instance: str = Field(examples=["/api/v1/analytics/users"])
    errors: list[ParameterProblem] | None = Field(
        default=None, description="With 422: every parameter that was refused."
    )
    nearest_publication: int | None = Field(default=None, description="With 410: the nearest publication that is kept.")
    retryable: bool | None = Field(default=None, description="With 503: trying again later helps.")


def problem(
    request: Request,
    *,
    status: int,
    slug: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **extensions: object,
) -> JSONResponse:
    """A problem+json response. `instance` is the path alone: a query string may hold personal data."""
    body = {
        "type": _URI + slug,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        **extensions,
    }
    return JSONResponse(
        body,
        status_code=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=PROBLEM_MEDIA_TYPE,
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of these error answers."""
    texts = {
        401: "No key where one is needed, or a wrong one.",
        403: "A write key, or another app's data.",
        404: "There never was such a publication.",
        410: "The publication is no longer kept; the nearest kept one is named.",
        422: "A parameter is out of range.",
        503: "The database or the lake is away, or too many requests wait.",
    }
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    schema["properties"]["errors"] = {"type": "array", "items": ParameterProblem.model_json_schema()}
    return {
        status: {"description": texts[status], "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install_error_handlers(app: FastAPI) -> None:
    """Turns every error of the app into problem+json."""

    async def on_serving_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ServingError)
        return problem(
            request,
            status=error.status,
            slug=error.slug,
            title=error.title,
            detail=str(error),
            headers=error.headers,
            **error.extensions(),
        )

    async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        found = [
            {"parameter": ".".join(str(part) for part in item["loc"][1:]) or "request", "message": item["msg"]}
            for item in error.errors()
        ]
        detail = "; ".join(f"{item['parameter']}: {item['message']}" for item in found)
        return problem(
            request,
            status=422,
            slug="invalid-parameter",
            title="A parameter is out of range",
            detail=detail,
            errors=found,
        )

    async def on_http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem(
            request,
            status=error.status_code,
            slug="http",
            title=str(error.detail),
            detail=str(error.detail),
            headers=error.headers,
        )

    async def on_unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("request failed", path=request.url.path, error=type(error).__name__, exc_info=error)
        return problem(
            request, status=500, slug="internal", title="Internal error", detail="The request failed; the log says why."
        )

    app.add_exception_handler(ServingError, on_serving_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_unexpected)
