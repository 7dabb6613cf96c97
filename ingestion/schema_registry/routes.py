"""The registry over HTTP: the REST shape, content type and errors that serializers of this kind of registry speak.

Endpoints run in threads: the store may block. Reading needs any key where keys are compulsory, changing a write key. Keys also come as
basic authentication, as which the clients of registries send them.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ingestion.api.auth import Authenticator
from ingestion.api.errors import ErrorCode, RequestError
from ingestion.schema_registry.avro_schemas import canonical_text
from ingestion.schema_registry.errors import RegistryError
from ingestion.schema_registry.errors import RegistryErrorCode as Code
from ingestion.schema_registry.service import SchemaRegistry
from storage.control.schema_registry import GLOBAL, Version

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
BODY_MAX_BYTES = 1024 * 1024
_MODE = {"mode": "READWRITE"}
_MEMBERS = {401: Code.MISSING_KEY, 403: Code.FORBIDDEN}


def answer(body: object, status: int = 200) -> Response:
    """An answer of the registry's content type."""
    return Response(msgspec.json.encode(body), status, media_type=CONTENT_TYPE)


class RegistryRoute(APIRoute):
    """A route whose refusals have the registry's shape."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """See APIRoute."""
        handle = super().get_route_handler()

        async def handle_refusals(request: Request) -> Response:
            try:
                return await handle(request)
            except RegistryError as error:
                return answer({"error_code": error.code.value, "message": error.message}, error.status)

        return handle_refusals


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


Text = Annotated[str, Depends(schema_of)]
LevelText = Annotated[str, Depends(level_of)]


def make_registry_router(registry: SchemaRegistry, authenticator: Authenticator) -> APIRouter:
    """All routes. A subject may hold slashes, so the longer paths come first."""

    async def reader(request: Request) -> None:
        await _assure_key(authenticator, request.headers, is_change=False)

    async def writer(request: Request) -> None:
        await _assure_key(authenticator, request.headers, is_change=True)

    reading = APIRouter(route_class=RegistryRoute, tags=["schema registry"], dependencies=[Depends(reader)])
    changing = APIRouter(route_class=RegistryRoute, tags=["schema registry"], dependencies=[Depends(writer)])
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
    @reading.get("/schemas/types", response_model=None)
    def schema_types() -> Response:
        return answer(["AVRO"])

    @reading.get("/schemas/ids/{schema_id}", response_model=None)
    def schema_by_id(schema_id: str) -> Response:
        return answer({"schema": registry.look(lambda view: view.text(_id(schema_id)))})

    @reading.get("/schemas/ids/{schema_id}/schema", response_model=None)
    def schema_text_by_id(schema_id: str) -> Response:
        text = registry.look(lambda view: view.text(_id(schema_id)))
        return Response(text, media_type=CONTENT_TYPE)

    @reading.get("/schemas/ids/{schema_id}/subjects", response_model=None)
    def subjects_of_schema(schema_id: str, deleted: bool = False) -> Response:
        found = registry.look(lambda view: view.uses(_id(schema_id), with_deleted=deleted))
        return answer(sorted({item.subject for item in found}))

    @reading.get("/schemas/ids/{schema_id}/versions", response_model=None)
    def versions_of_schema(schema_id: str, deleted: bool = False) -> Response:
        found = registry.look(lambda view: view.uses(_id(schema_id), with_deleted=deleted))
        return answer([{"subject": item.subject, "version": item.version} for item in found])

    @reading.get("/contexts", response_model=None)
    def contexts() -> Response:
        return answer(["."])


def _add_levels(reading: APIRouter, changing: APIRouter, registry: SchemaRegistry) -> None:
    @reading.get("/config", response_model=None)
    def global_level() -> Response:
        return answer({"compatibilityLevel": registry.look(lambda view: view.level(GLOBAL))})

    @changing.put("/config", response_model=None)
    def set_global_level(level: LevelText) -> Response:
        return answer({"compatibility": registry.set_level(GLOBAL, level)})

    @changing.delete("/config", response_model=None)
    def reset_global_level() -> Response:
        return answer({"compatibilityLevel": registry.forget_level(GLOBAL)})

    @reading.get("/config/{subject:path}", response_model=None)
    def subject_level(subject: str, defaultToGlobal: bool = False) -> Response:  # noqa: N803 - the clients' spelling
        found = registry.look(lambda view: view.level(subject) if defaultToGlobal else view.own_level(subject))
        return answer({"compatibilityLevel": found})

    @changing.put("/config/{subject:path}", response_model=None)
    def set_subject_level(subject: str, level: LevelText) -> Response:
        return answer({"compatibility": registry.set_level(subject, level)})

    @changing.delete("/config/{subject:path}", response_model=None)
    def forget_subject_level(subject: str) -> Response:
        return answer({"compatibilityLevel": registry.forget_level(subject)})

    @reading.get("/mode", response_model=None)
    @reading.get("/mode/{subject:path}", response_model=None)
    def mode(subject: str = GLOBAL) -> Response:  # noqa: ARG001 - the same for all
        return answer(_MODE)

    @changing.put("/mode", response_model=None)
    @changing.put("/mode/{subject:path}", response_model=None)
    def set_mode(subject: str = GLOBAL) -> Response:  # noqa: ARG001 - the same for all
        raise RegistryError(Code.OPERATION_NOT_PERMITTED, "this registry has no other mode than READWRITE")


def _add_comparisons(reading: APIRouter, registry: SchemaRegistry) -> None:
    def compared(subject: str, version: str | None, text: str, *, is_verbose: bool) -> Response:
        faults = registry.compare(subject, version, text)
        return answer({"is_compatible": not faults, **({"messages": faults} if is_verbose else {})})

    @reading.post("/compatibility/subjects/{subject:path}/versions/{version}", response_model=None)
    def compare_with_version(subject: str, version: str, text: Text, verbose: bool = False) -> Response:
        return compared(subject, version, text, is_verbose=verbose)

    @reading.post("/compatibility/subjects/{subject:path}/versions", response_model=None)
    def compare_with_versions(subject: str, text: Text, verbose: bool = False) -> Response:
        return compared(subject, None, text, is_verbose=verbose)


def _add_versions(reading: APIRouter, changing: APIRouter, registry: SchemaRegistry) -> None:
    @reading.get("/subjects/{subject:path}/versions/{version}/schema", response_model=None)
    def text_of_version(subject: str, version: str, deleted: bool = False) -> Response:
        text = registry.look(lambda view: view.text(view.version(subject, version, with_deleted=deleted).schema_id))
        return Response(text, media_type=CONTENT_TYPE)

    @reading.get("/subjects/{subject:path}/versions/{version}/referencedby", response_model=None)
    def referenced_by(subject: str, version: str) -> Response:
        registry.look(lambda view: view.version(subject, version))
        return answer([])

    @reading.get("/subjects/{subject:path}/versions/{version}", response_model=None)
    def one_version(subject: str, version: str, deleted: bool = False) -> Response:
        return answer(
            registry.look(
                lambda view: _described(
                    found := view.version(subject, version, with_deleted=deleted), view.text(found.schema_id)
                )
            )
        )

    @changing.delete("/subjects/{subject:path}/versions/{version}", response_model=None)
    def delete_version(subject: str, version: str, permanent: bool = False) -> Response:
        return answer(registry.delete_version(subject, version, is_permanent=permanent))

    @reading.get("/subjects/{subject:path}/versions", response_model=None)
    def all_versions(subject: str, deleted: bool = False) -> Response:
        found = registry.look(lambda view: view.known_versions(subject, with_deleted=deleted))
        return answer([item.version for item in found])

    @changing.post("/subjects/{subject:path}/versions", response_model=None)
    def register(subject: str, text: Text) -> Response:
        version = registry.register(subject, text)
        registered = registry.look(lambda view: view.text(version.schema_id))
        return answer({"id": version.schema_id, "version": version.version, "schema": registered})


def _add_subjects(reading: APIRouter, changing: APIRouter, registry: SchemaRegistry) -> None:
    @reading.get("/subjects", response_model=None)
    def subjects(
        subjectPrefix: str = "",  # noqa: N803 - the clients' spelling
        deleted: bool = False,
        deletedOnly: bool = False,  # noqa: N803 - the clients' spelling
        deleted_only: bool = False,
        offset: int = 0,
        limit: int = -1,
    ) -> Response:
        only_deleted = deletedOnly or deleted_only
        found = registry.look(
            lambda view: view.subjects(subjectPrefix, with_deleted=deleted, only_deleted=only_deleted)
        )
        start = max(offset, 0)
        return answer(found[start : start + limit] if limit >= 0 else found[start:])

    @reading.post("/subjects/{subject:path}", response_model=None)
    def find(subject: str, text: Text, deleted: bool = False) -> Response:
        canonical = canonical_text(text)
        found = registry.look(lambda view: view.find(subject, canonical, with_deleted=deleted))
        return answer(_described(found, canonical))

    @changing.delete("/subjects/{subject:path}", response_model=None)
    def delete_subject(subject: str, permanent: bool = False) -> Response:
        return answer(registry.delete_subject(subject, is_permanent=permanent))


def _described(version: Version, text: str) -> dict[str, object]:
    return {"subject": version.subject, "version": version.version, "id": version.schema_id, "schema": text}


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise RegistryError(Code.SCHEMA_NOT_FOUND, f"Schema {text[:40]} not found")
    return int(text)


async def _assure_key(authenticator: Authenticator, headers: Headers, *, is_change: bool) -> None:
    try:
        await authenticator.app_id(_with_bearer(headers))
    except RequestError as error:
        if error.code is ErrorCode.READ_KEY and not is_change:
            return
        raise RegistryError(_MEMBERS.get(error.status, Code.STORE_UNAVAILABLE), error.message) from None


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
