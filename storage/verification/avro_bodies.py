"""Avro bodies read for the checker: by the registered schemas, without the code of the edge or of dbt."""

import io
import json
from collections.abc import Mapping

import fastavro

from ingestion.contracts import download
from ingestion.contracts.avro_wire import HEADER_BYTES, decodable, schema_id_of
from ingestion.contracts.formats import avro
from ingestion.contracts.registry import CONTRACTS

ABSENT = b""
"""What a body that cannot be read counts as: no contract takes it."""


class AvroReader:
    """JSON text of Avro bodies."""

    def __init__(self, texts: Mapping[int, str]) -> None:
        self._reader = fastavro.parse_schema(avro.schema(CONTRACTS[download.CONTRACT]) or {})
        schemas = {schema_id: decodable(text) for schema_id, text in texts.items()}
        self._writers = {
            schema_id: fastavro.parse_schema(schema) for schema_id, schema in schemas.items() if schema is not None
        }

    def __call__(self, value: bytes) -> bytes:
        """The text, ABSENT where there is none."""
        datum = io.BytesIO(value[HEADER_BYTES:])
        try:
            document = fastavro.schemaless_reader(datum, self._writers[schema_id_of(value)], self._reader)
            return ABSENT if datum.read(1) else json.dumps(document).encode()
        except Exception:  # noqa: BLE001 - whatever a decoder makes of foreign bytes
            return ABSENT
