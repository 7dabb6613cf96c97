"""The contracts as Avro schemas: of those whose shape Avro can say. Objects with free insides and tagged unions it cannot.

Words of a fixed list are strings here, as their clients write them: the contract looks at the word itself, and a list that grows must not
make old readers fail. Bounds stay with the contract too.
"""

import json
from typing import Any

from msgspec import inspect

from ingestion.contracts.registry import CONTRACTS, Contract

NAMESPACE = "tidemark"


def schema(contract: Contract) -> dict[str, Any] | None:
    """The schema, None where Avro cannot say the shape."""
    info = inspect.type_info(contract.shape)
    if not isinstance(info, inspect.StructType):
        return None
    try:
        return {**_record(info, contract), "namespace": NAMESPACE}
    except NotImplementedError:
        return None


def render(contract: Contract) -> str | None:
    """The text of a contract's own schema file."""
    found = schema(contract)
    return None if found is None else json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[str, str]:
    """File name → text."""
    rendered = {f"{contract.name.replace('/', '-')}.avsc": render(contract) for contract in CONTRACTS.values()}
    return {name: text for name, text in rendered.items() if text is not None}


def _record(shape: inspect.StructType, contract: Contract) -> dict[str, Any]:
    fields = [_field(field, contract) for field in shape.fields]
    return {"type": "record", "name": shape.cls.__name__, "doc": (shape.cls.__doc__ or "").strip(), "fields": fields}


def _field(field: inspect.Field, contract: Contract) -> dict[str, Any]:
    described: dict[str, Any] = {"name": field.encode_name}
    note = _description(field.type)
    if note:
        described["doc"] = note
    kind = _type(field.type, contract)
    if field.encode_name in contract.millisecond_fields:
        kind = {"type": "long", "logicalType": "timestamp-millis"}
    described["type"] = kind
    if not field.required:
        described["default"] = field.default
    return described


def _type(kind: inspect.Type, contract: Contract) -> Any:
    match kind:
        case inspect.Metadata():
            return _type(kind.type, contract)
        case inspect.StrType() | inspect.LiteralType():
            return "string"
        case inspect.IntType():
            return "long"
        case inspect.FloatType():
            return "double"
        case inspect.StructType():
            return _record(kind, contract)
        case inspect.DictType():
            return {"type": "map", "values": _type(kind.value_type, contract)}
        case inspect.ListType():
            return {"type": "array", "items": _type(kind.item_type, contract)}
        case inspect.UnionType():
            # Null first: a union's default is of its first branch.
            rest = [_type(item, contract) for item in kind.types if not isinstance(item, inspect.NoneType)]
            return ["null", *rest] if len(rest) < len(kind.types) else rest
    raise NotImplementedError(f"{contract.name}: no Avro for {kind}")


def _description(kind: inspect.Type) -> str | None:
    if not isinstance(kind, inspect.Metadata):
        return None
    note = (kind.extra_json_schema or {}).get("description")
    return note if isinstance(note, str) else _description(kind.type)
