"""The registry over HTTP: the REST shape, content type and errors that serializers of this kind of registry speak.

Endpoints run in threads: the store may block. Reading needs any key where keys are compulsory, changing a write key. Keys also come as
basic authentication, as which the clients of registries send them. Whatever refuses, the answer has the registry's shape.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, unquote

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, WithJsonSchema
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from ingestion.api.error_handlers import describe_invalid
from ingestion.api.errors import RequestError
from ingestion.api.guard import Guard
from ingestion.api.openapi import documented_registry as documented
from ingestion.api.openapi_protocols import REGISTRY_MEDIA_TYPE
from ingestion.contracts.compatibility import Level
from ingestion.schema_registry.avro_schemas import canonical_text
from ingestion.schema_registry.errors import RegistryError
from ingestion.schema_registry.errors import RegistryErrorCode as Code
from ingestion.schema_registry.service import SchemaRegistry
from storage.control.schema_registry import GLOBAL, Version

BODY_MAX_BYTES = 1024 * 1024
_MODE = {"mode": "READWRITE"}
_MEMBERS = {401: Code.MISSING_KEY, 403: Code.FORBIDDEN, 503: Code.STORE_UNAVAILABLE}


class RegistryAnswer(JSONResponse):
    """An answer of the registry's content type."""

    media_type = REGISTRY_MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """See Response."""
        return msgspec.json.encode(content)


class RegistryRoute(APIRoute):
    """A route whose refusals have the registry's shape, and whose path is told apart before its percent signs are decoded.

    A subject may hold slashes, which clients send as %2F: in the decoded path `a/versions/1` is a subject as well as a version of one.
    """

    retry_after_seconds = 1
    """Told by every 503."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See Route."""
        raw = scope.get("raw_path")
        path = quote(scope["path"]) if raw is None else raw.partition(b"?")[0].decode("latin-1")
        match, child = super().matches({**scope, "path": path})
        if match is not Match.NONE:
            child["path_params"] = {name: unquote(value) for name, value in child["path_params"].items()}
        return match, child

    def get_route_handler(self) -> Callable[[Request], Any]:
        """See APIRoute."""
        handle = super().get_route_handler()

        async def handle_refusals(request: Request) -> Response:
            try:
                return await handle(request)
            except RegistryError as error:
                return self._refuse(error.status, error.code, error.message)
            except RequestValidationError as error:
                return self._refuse(422, Code.UNPROCESSABLE, describe_invalid(error))
            except RequestError as error:
                challenge = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
                code = _MEMBERS.get(error.status, error.status)
                return self._refuse(error.status, code, error.message, {**challenge, **error.headers})

        return handle_refusals

    def _refuse(self, status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        retry = {"Retry-After": str(self.retry_after_seconds)} if status == 503 else {}
        return RegistryAnswer({"error_code": int(code), "message": message}, status, {**retry, **(headers or {})})


class SchemaBody(msgspec.Struct):
    """A schema to register, to find or to compare."""

    schema: str
    schemaType: str | None = None  # noqa: N815 - the clients' spelling
    references: list[Any] = []

    def text(self) -> str:
        """The schema's text. Raises: RegistryError for what this registry does not hold."""
        if self.schemaType not in (None, "", "AVRO"):
            message = f"Invalid schema: type {self.schemaType} is not supported, this registry holds AVRO"
            raise RegistryError(Code.INVALID_SCHEMA, message)
        if self.references:
            raise RegistryError(Code.INVALID_SCHEMA, "Invalid schema: references to other subjects are not supported")
        return self.schema


class LevelBody(msgspec.Struct):
    """A compatibility level."""

    compatibility: str


Shape = TypeVar("Shape", SchemaBody, LevelBody)


async def read_body(request: Request) -> bytes:
    """The body within its bound. Raises: RegistryError."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_MAX_BYTES:
                raise RegistryError(Code.BODY_TOO_LARGE, f"the body is larger than {BODY_MAX_BYTES} bytes")
    except ClientDisconnect:
        raise RegistryError(Code.UNPROCESSABLE, "the client closed the connection") from None
    return bytes(body)


def schema_of(body: Annotated[bytes, Depends(read_body)]) -> str:
    """The schema's text in a body."""
    return _decode(body, SchemaBody).text()


def level_of(body: Annotated[bytes, Depends(read_body)]) -> str:
    """The level in a body."""
    return _decode(body, LevelBody).compatibility


def _decode(body: bytes, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(Code.UNPROCESSABLE, f"the body is not understood: {error}"[:200]) from None


def _flag(text: object) -> bool:
    if not isinstance(text, str) or text.lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return text.lower() == "true"


Text = Annotated[str, Depends(schema_of)]
LevelText = Annotated[str, Depends(level_of)]
# The two words of the document only: pydantic takes `1` and `on` for a boolean too.
Flag = Annotated[bool, BeforeValidator(_flag)]
# Read by hand: what is no number has error numbers of its own.
IdText = Annotated[str, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 2**31 - 1})]
VersionText = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^([0-9]{1,10}|-1|latest)$"})]


def _object(**members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(members), "properties": members}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


_BODIES = msgspec.json.schema_components([SchemaBody, LevelBody])[1]
_SCHEMA, _LEVEL = _BODIES["SchemaBody"], _BODIES["LevelBody"]
_TEXT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 1}
_NAMES, _NUMBERS = _list(_TEXT), _list(_NUMBER)
_AVRO = {"description": "The schema itself, as JSON."}
_LEVEL_NAME = {"type": "string", "enum": list(Level)}
_LEVEL_FOUND, _LEVEL_SET = _object(compatibilityLevel=_LEVEL_NAME), _object(compatibility=_LEVEL_NAME)
_MODE_FOUND = _object(mode={"type": "string", "enum": ["READWRITE"]})
_USES = _list(_object(subject=_TEXT, version=_NUMBER))
_DESCRIBED = _object(subject=_TEXT, version=_NUMBER, id=_NUMBER, schema=_TEXT)
_REGISTERED = _object(id=_NUMBER, version=_NUMBER, schema=_TEXT)
_VERDICT = {**_object(is_compatible={"type": "boolean"}, messages=_list(_TEXT)), "required": ["is_compatible"]}


def make_registry_router(registry: SchemaRegistry, guard: Guard, retry_after_seconds: int) -> APIRouter:
    """All routes."""

    class Route(RegistryRoute):
        """With the edge's own pause."""

    Route.retry_after_seconds = retry_after_seconds

    async def reader(request: Request) -> None:
        await guard.admit_reader(_with_bearer(request.headers), _address(request))

    async def writer(request: Request) -> None:
        await guard.admit_caller(_with_bearer(request.headers), _address(request))

    def make_router(check: Callable[[Request], Awaitable[None]]) -> APIRouter:
        return APIRouter(
            route_class=Route,
            tags=["schema registry"],
            dependencies=[Depends(check)],
            default_response_class=RegistryAnswer,
        )

    reading, changing = make_router(reader), make_router(writer)
    _add_schemas(reading, registry)
    _add_levels(reading, changing, registry)
    _add_comparisons(reading, registry)
    _add_versions(reading, changing, registry)
    _add_subjects(reading, changing, registry)
    router = APIRouter()
    router.include_router(changing)
    router.include_router(reading)
    return router


def _add_schemas(reading: APIRouter, registry: SchemaRegistry) -> None:
    @reading.get("/schemas/types", **documented(_NAMES))
    def schema_types() -> Response:
        return RegistryAnswer(["AVRO"])

    @reading.get("/schemas/ids/{schema_id}", **documented(_object(schema=_TEXT), 404))
    def schema_by_id(schema_id: IdText) -> Response:
        return RegistryAnswer({"schema": registry.look(lambda view: view.text(_id(schema_id)))})

    @reading.get("/schemas/ids/{schema_id}/schema", **documented(_AVRO, 404))
    def schema_text_by_id(schema_id: IdText) -> Response:
        text = registry.look(lambda view: view.text(_id(schema_id)))
        return Response(text, media_type=REGISTRY_MEDIA_TYPE)

    @reading.get("/schemas/ids/{schema_id}/subjects", **documented(_NAMES, 404, 422))
    def subjects_of_schema(schema_id: IdText, deleted: Flag = False) -> Response:
        found = registry.look(lambda view: view.uses(_id(schema_id), with_deleted=deleted))
        return RegistryAnswer(sorted({item.subject for item in found}))

    @reading.get("/schemas/ids/{schema_id}/versions", **documented(_USES, 404, 422))
    def versions_of_schema(schema_id: IdText, deleted: Flag = False) -> Response:
        found = registry.look(lambda view: view.uses(_id(schema_id), with_deleted=deleted))
        return RegistryAnswer([{"subject": item.subject, "version": item.version} for item in found])

    @reading.get("/contexts", **documented(_NAMES))
    def contexts() -> Response:
        return RegistryAnswer(["."])


def _add_levels(reading: APIRouter, changing: APIRouter, registry: SchemaRegistry) -> None:
    @reading.get("/config", **documented(_LEVEL_FOUND))
    def global_level() -> Response:
        return RegistryAnswer({"compatibilityLevel": registry.look(lambda view: view.level(GLOBAL))})

    @changing.put("/config", **documented(_LEVEL_SET, body=_LEVEL))
    def set_global_level(level: LevelText) -> Response:
        return RegistryAnswer({"compatibility": registry.set_level(GLOBAL, level)})

    @changing.delete("/config", **documented(_LEVEL_FOUND))
    def reset_global_level() -> Response:
        return RegistryAnswer({"compatibilityLevel": registry.forget_level(GLOBAL)})

    @reading.get("/config/{subject}", **documented(_LEVEL_FOUND, 404, 422))
    def subject_level(subject: str, defaultToGlobal: Flag = False) -> Response:  # noqa: N803 - the clients' spelling
        found = registry.look(lambda view: view.level(subject) if defaultToGlobal else view.own_level(subject))
        return RegistryAnswer({"compatibilityLevel": found})

    @changing.put("/config/{subject}", **documented(_LEVEL_SET, body=_LEVEL))
    def set_subject_level(subject: str, level: LevelText) -> Response:
        return RegistryAnswer({"compatibility": registry.set_level(subject, level)})

    @changing.delete("/config/{subject}", **documented(_LEVEL_FOUND, 404))
    def forget_subject_level(subject: str) -> Response:
        return RegistryAnswer({"compatibilityLevel": registry.forget_level(subject)})

    @reading.get("/mode", **documented(_MODE_FOUND))
    @reading.get("/mode/{subject}", **documented(_MODE_FOUND))
    def mode(subject: str = GLOBAL) -> Response:  # noqa: ARG001 - the same for all
        return RegistryAnswer(_MODE)

    @changing.put("/mode", **documented(_MODE_FOUND, 422, status=422))
    @changing.put("/mode/{subject}", **documented(_MODE_FOUND, 422, status=422))
    def set_mode(subject: str = GLOBAL) -> Response:  # noqa: ARG001 - the same for all
        raise RegistryError(Code.OPERATION_NOT_PERMITTED, "this registry has no other mode than READWRITE")


def _add_comparisons(reading: APIRouter, registry: SchemaRegistry) -> None:
    def compared(subject: str, version: str | None, text: str, *, is_verbose: bool) -> Response:
        faults = registry.compare(subject, version, text)
        return RegistryAnswer({"is_compatible": not faults, **({"messages": faults} if is_verbose else {})})

    @reading.post("/compatibility/subjects/{subject}/versions/{version}", **documented(_VERDICT, 404, body=_SCHEMA))
    def compare_with_version(subject: str, version: VersionText, text: Text, verbose: Flag = False) -> Response:
        return compared(subject, version, text, is_verbose=verbose)

    @reading.post("/compatibility/subjects/{subject}/versions", **documented(_VERDICT, body=_SCHEMA))
    def compare_with_versions(subject: str, text: Text, verbose: Flag = False) -> Response:
        return compared(subject, None, text, is_verbose=verbose)


def _add_versions(reading: APIRouter, changing: APIRouter, registry: SchemaRegistry) -> None:
    @reading.get("/subjects/{subject}/versions/{version}/schema", **documented(_AVRO, 404, 422))
    def text_of_version(subject: str, version: VersionText, deleted: Flag = False) -> Response:
        text = registry.look(lambda view: view.text(view.version(subject, version, with_deleted=deleted).schema_id))
        return Response(text, media_type=REGISTRY_MEDIA_TYPE)

    @reading.get("/subjects/{subject}/versions/{version}/referencedby", **documented(_NUMBERS, 404, 422))
    def referenced_by(subject: str, version: VersionText) -> Response:
        registry.look(lambda view: view.version(subject, version))
        return RegistryAnswer([])

    @reading.get("/subjects/{subject}/versions/{version}", **documented(_DESCRIBED, 404, 422))
    def one_version(subject: str, version: VersionText, deleted: Flag = False) -> Response:
        return RegistryAnswer(
            registry.look(
                lambda view: _described(
                    found := view.version(subject, version, with_deleted=deleted), view.text(found.schema_id)
                )
            )
        )

    @changing.delete("/subjects/{subject}/versions/{version}", **documented(_NUMBER, 404, 422))
    def delete_version(subject: str, version: VersionText, permanent: Flag = False) -> Response:
        return RegistryAnswer(registry.delete_version(subject, version, is_permanent=permanent))

    @reading.get("/subjects/{subject}/versions", **documented(_NUMBERS, 404, 422))
    def all_versions(subject: str, deleted: Flag = False) -> Response:
        found = registry.look(lambda view: view.known_versions(subject, with_deleted=deleted))
        return RegistryAnswer([item.version for item in found])

    @changing.post("/subjects/{subject}/versions", **documented(_REGISTERED, 409, body=_SCHEMA))
    def register(subject: str, text: Text) -> Response:
        version = registry.register(subject, text)
        registered = registry.look(lambda view: view.text(version.schema_id))
        return RegistryAnswer({"id": version.schema_id, "version": version.version, "schema": registered})


def _add_subjects(reading: APIRouter, changing: APIRouter, registry: SchemaRegistry) -> None:
    @reading.get("/subjects", **documented(_NAMES, 422))
    def subjects(
        subjectPrefix: str = "",  # noqa: N803 - the clients' spelling
        deleted: Flag = False,
        deletedOnly: Flag = False,  # noqa: N803 - the clients' spelling
        deleted_only: Flag = False,
        offset: int = 0,
        limit: int = -1,
    ) -> Response:
        only_deleted = deletedOnly or deleted_only
        found = registry.look(
            lambda view: view.subjects(subjectPrefix, with_deleted=deleted, only_deleted=only_deleted)
        )
        start = max(offset, 0)
        return RegistryAnswer(found[start : start + limit] if limit >= 0 else found[start:])

    @reading.post("/subjects/{subject}", **documented(_DESCRIBED, 404, body=_SCHEMA))
    def find(subject: str, text: Text, deleted: Flag = False) -> Response:
        canonical = canonical_text(text)
        found = registry.look(lambda view: view.find(subject, canonical, with_deleted=deleted))
        return RegistryAnswer(_described(found, canonical))

    @changing.delete("/subjects/{subject}", **documented(_NUMBERS, 404, 422))
    def delete_subject(subject: str, permanent: Flag = False) -> Response:
        return RegistryAnswer(registry.delete_subject(subject, is_permanent=permanent))


def _described(version: Version, text: str) -> dict[str, object]:
    return {"subject": version.subject, "version": version.version, "id": version.schema_id, "schema": text}


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise RegistryError(Code.SCHEMA_NOT_FOUND, f"Schema {text[:40]} not found")
    return int(text)


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _with_bearer(headers: Headers) -> Headers:
    """The headers, with a key that came as basic authentication (as password, or as user without one) as a bearer's."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return headers
    try:
        user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return headers
    return Headers({"authorization": f"Bearer {password or user}"})
