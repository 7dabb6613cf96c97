"""Avro bodies as the JSON text that their contract judges: read by the writer's schema, resolved to the contract's own.

So an Avro event is held to the rules of its JSON form, word by word, and a field that its writer did not know has the reader's default.
"""

import io
import json
from collections.abc import Callable, Iterable
from typing import Any

import fastavro
from fastavro.read import SchemaResolutionError

from ingestion.contracts.avro_wire import HEADER_BYTES, AvroError, decodable, schema_id_of
from ingestion.contracts.families import FamilyRule
from ingestion.contracts.formats import avro
from ingestion.contracts.reasons import Reason
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.validation import Rejection, Validator, Verdict

FindText = Callable[[int], str | None]
"""A registry: schema id → its text, None where there is none. May block, may raise when nobody can tell."""


class AvroDecoder:
    """Reads records as one contract's schema. `learn` asks the registry, the rest answers from memory."""

    def __init__(self, find_text: FindText, reader: dict[str, Any]) -> None:
        self._find_text = find_text
        self._reader = fastavro.parse_schema(reader)
        self._writers: dict[int, Any] = {}

    def knows(self, value: bytes) -> bool:
        """True when asking the registry about this record could tell nothing new."""
        try:
            return schema_id_of(value) in self._writers
        except AvroError:
            return True

    def learn(self, values: Iterable[bytes]) -> None:
        """Gets to know the schemas that the records name. Raises what the registry raises: then nothing is decided about them."""
        for schema_id in {schema_id_of(value) for value in values if not self.knows(value)}:
            text = self._find_text(schema_id)
            schema = None if text is None else decodable(text)
            if schema is not None:  # one that is not there may come to be
                self._writers[schema_id] = fastavro.parse_schema(schema)

    def json_text(self, value: bytes) -> bytes:
        """The record as JSON. Raises: AvroError."""
        schema_id = schema_id_of(value)
        writer = self._writers.get(schema_id)
        if writer is None:
            raise AvroError(
                Reason.UNKNOWN_SCHEMA, f"schema {schema_id} is not registered, or is not one that may be decoded"
            )
        datum = io.BytesIO(value)
        datum.seek(HEADER_BYTES)
        try:
            document = fastavro.schemaless_reader(datum, writer, self._reader)
            text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        except SchemaResolutionError:
            message = f"schema {schema_id} cannot be read as {self._reader['name']}"  # type: ignore[index,call-overload]  # a parsed record is a dict
            raise AvroError(Reason.MALFORMED_AVRO, message) from None
        except Exception as error:  # noqa: BLE001 - whatever a decoder makes of foreign bytes
            raise AvroError(Reason.MALFORMED_AVRO, f"no datum of schema {schema_id}: {type(error).__name__}") from None
        if datum.tell() != len(value):
            raise AvroError(
                Reason.MALFORMED_AVRO, f"{len(value) - datum.tell()} bytes follow the datum of schema {schema_id}"
            )
        return text


def decoder_of(contract: str, find_text: FindText) -> AvroDecoder:
    """The decoder of records of a contract."""
    reader = avro.schema(CONTRACTS[contract])
    if reader is None:
        raise ValueError(f"{contract} has no Avro schema")
    return AvroDecoder(find_text, reader)


class AvroJudge:
    """A Validator's verdict on Avro bytes."""

    def __init__(self, validator: Validator, decoder: AvroDecoder) -> None:
        self._validator = validator
        self._decoder = decoder

    def judge(self, raw: bytes, family_rule: FamilyRule) -> Verdict:
        """See Validator."""
        try:
            text = self._decoder.json_text(raw)
        except AvroError as error:
            return Rejection(error.reason, error.message)
        return self._validator.judge(text, family_rule)
