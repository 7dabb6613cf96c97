"""The schemas that a build reads Avro bodies with, as a file beside it: dbt knows neither the registry nor the contracts."""

import json
from pathlib import Path

from sqlalchemy import Engine

from ingestion.contracts import download
from ingestion.contracts.avro_wire import decodable
from ingestion.contracts.formats import avro
from ingestion.contracts.registry import CONTRACTS
from storage.control.schema_registry import all_texts


def write_avro_schemas(path: Path, engine: Engine) -> None:
    """Writes `reader`, the contract's schema, and `writers`, id → schema of all that may be decoded with. An id keeps its meaning."""
    reader = decodable(json.dumps(avro.schema(CONTRACTS[download.CONTRACT])))
    writers = {str(schema_id): decodable(text) for schema_id, text in all_texts(engine).items()}
    pinned = {"reader": reader, "writers": {name: schema for name, schema in writers.items() if schema is not None}}
    path.write_text(json.dumps(pinned), encoding="utf-8")
