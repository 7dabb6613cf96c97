"""Avro bodies as JSON text, by the schemas of the registry. Asks the registry once per batch for what it does not know."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import fastavro
import sqlalchemy as sa
from sqlalchemy import Engine

from ingestion.contracts import download
from ingestion.contracts.avro_wire import HEADER_BYTES, AvroError, decodable, schema_id_of
from ingestion.contracts.formats import avro
from ingestion.contracts.reasons import Reason
from ingestion.contracts.registry import CONTRACTS
from storage.control import schema_registry
from storage.hot_store.errors import StoreUnavailableError

ReadTexts = Callable[[], Mapping[int, str]]
"""All registered schemas by id. May raise when nobody can tell."""


class AvroBodies:
    """Reads downloads in Avro. `learn` may wait for the registry, calling it never does."""

    def __init__(self, read_texts: ReadTexts) -> None:
        self._read_texts = read_texts
        self._reader = fastavro.parse_schema(avro.schema(CONTRACTS[download.CONTRACT]) or {})
        self._writers: dict[int, Any] = {}

    def learn(self, values: Iterable[bytes]) -> None:
        """Gets to know the schemas that these bodies name. Raises what the registry raises."""
        if all(schema_id in self._writers for schema_id in _ids_of(values)):
            return
        for schema_id, text in self._read_texts().items():
            schema = decodable(text) if schema_id not in self._writers else None
            if schema is not None:
                self._writers[schema_id] = fastavro.parse_schema(schema)

    def __call__(self, value: bytes) -> bytes:
        """The text. Raises: AvroError."""
        schema_id = schema_id_of(value)
        if schema_id not in self._writers:
            raise AvroError(Reason.UNKNOWN_SCHEMA, f"schema {schema_id} is not registered, or may not be decoded")
        datum = io.BytesIO(value[HEADER_BYTES:])
        try:
            document = fastavro.schemaless_reader(datum, self._writers[schema_id], self._reader)
            text = json.dumps(document, ensure_ascii=False).encode()
        except Exception as error:  # noqa: BLE001 - whatever a decoder makes of foreign bytes
            raise AvroError(Reason.MALFORMED_AVRO, f"no datum of schema {schema_id}: {type(error).__name__}") from None
        if datum.read(1):
            raise AvroError(Reason.MALFORMED_AVRO, f"bytes follow the datum of schema {schema_id}")
        return text


def registered_schemas(engine: Engine) -> dict[int, str]:
    """The registry's texts by id. Raises: StoreUnavailableError when the database does not answer: nothing is decided about Avro then."""
    try:
        return schema_registry.all_texts(engine)
    except sa.exc.SQLAlchemyError as error:
        raise StoreUnavailableError(f"the schema registry: {type(error).__name__}") from error


def _ids_of(values: Iterable[bytes]) -> Iterator[int]:
    for value in values:
        try:
            yield schema_id_of(value)
        except AvroError:
            continue
