"""The schemas that a build reads Avro bodies with, as a file beside it: dbt knows neither the registry nor the contracts."""

import json

from sqlalchemy import Engine

from ingestion.contracts import download
from ingestion.contracts.avro_wire import decodable
from ingestion.contracts.formats import avro
from ingestion.contracts.registry import CONTRACTS
from storage.control.schema_registry import all_texts


def pinned_schemas(engine: Engine) -> str:
    """JSON: `reader`, the contract's schema, and `writers`, id → schema of all that may be decoded with. An id keeps its meaning."""
    reader = decodable(json.dumps(avro.schema(CONTRACTS[download.CONTRACT])))
    writers = {str(schema_id): decodable(text) for schema_id, text in sorted(all_texts(engine).items())}
    pinned = {"reader": reader, "writers": {name: schema for name, schema in writers.items() if schema is not None}}
    return json.dumps(pinned)
