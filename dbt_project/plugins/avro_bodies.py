"""Avro bodies as JSON text, for SQL: the function avro_document, which the plugin gives to DuckDB.

Schemas are pinned with the build, so a build made again reads the same. The function never raises: what cannot be read becomes the code of
its reason, which is no JSON. Imports nothing of ours, as the plugin does not.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FUNCTION = "avro_document"
MALFORMED = "malformed_avro"
UNKNOWN = "unknown_schema"
_HEADER_BYTES = 5


def reader(schemas_file: Path | None) -> Callable[[bytes], str]:
    """The function over the schemas of a file: `reader`, the contract's, and `writers` by id. Without a file it knows none."""
    pinned: dict[str, Any] = {} if schemas_file is None else json.loads(schemas_file.read_text(encoding="utf-8"))
    writers: dict[str, Any] = pinned.get("writers", {})
    parsed: dict[str, Any] = {}

    def parse(name: str, schema: Any) -> Any:
        """The schema as the decoder takes it: made once, and only when a record asks for it."""
        if name not in parsed:
            import fastavro

            parsed[name] = fastavro.parse_schema(schema)
        return parsed[name]

    def avro_document(value: bytes) -> str:
        if len(value) <= _HEADER_BYTES or value[0] != 0:
            return MALFORMED
        schema_id = str(int.from_bytes(value[1:_HEADER_BYTES], "big"))
        if schema_id not in writers:
            return UNKNOWN
        try:
            import fastavro

            datum = io.BytesIO(value)
            datum.seek(_HEADER_BYTES)
            document = fastavro.schemaless_reader(
                datum, parse(schema_id, writers[schema_id]), parse("reader", pinned["reader"])
            )
            text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        except Exception:  # noqa: BLE001 - whatever a decoder makes of foreign bytes
            return MALFORMED
        return text if datum.tell() == len(value) else MALFORMED

    return avro_document
