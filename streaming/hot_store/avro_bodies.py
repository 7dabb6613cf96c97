"""Avro bodies as JSON text, by the schemas of the registry. Asks the registry once per batch for what it does not know."""

from collections.abc import Callable, Iterable, Mapping

from ingestion.contracts.avro_wire import AvroError, schema_id_of
from ingestion.contracts.reasons import Reason
from storage.verification.avro_bodies import ABSENT, AvroReader

ReadTexts = Callable[[], Mapping[int, str]]
"""All registered schemas by id. May raise when nobody can tell."""


class AvroBodies:
    """Reads downloads in Avro. `learn` may wait for the registry, calling it never does."""

    def __init__(self, read_texts: ReadTexts) -> None:
        self._read_texts = read_texts
        self._known: frozenset[int] = frozenset()
        self._read = AvroReader({})

    def learn(self, values: Iterable[bytes]) -> None:
        """Gets to know the schemas that these bodies name. Raises what the registry raises."""
        if all(schema_id in self._known for schema_id in _ids_of(values)):
            return
        texts = self._read_texts()
        self._known = frozenset(texts)
        self._read = AvroReader(texts)

    def __call__(self, value: bytes) -> bytes:
        """The text. Raises: AvroError."""
        schema_id = schema_id_of(value)
        if schema_id not in self._known:
            raise AvroError(Reason.UNKNOWN_SCHEMA, f"schema {schema_id} is not registered")
        text = self._read(value)
        if text is ABSENT:
            raise AvroError(Reason.MALFORMED_AVRO, f"no datum of schema {schema_id}")
        return text


def _ids_of(values: Iterable[bytes]) -> Iterable[int]:
    for value in values:
        try:
            yield schema_id_of(value)
        except AvroError:
            continue
