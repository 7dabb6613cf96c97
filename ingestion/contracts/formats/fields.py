"""What a contract's field says about itself: words, meaning, unit and whose data it is. Read from the msgspec types."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec.inspect as inspect

from ingestion.contracts.families import OWN_FAMILIES, Family
from ingestion.contracts.registry import Contract

# The fields that silver has in columns of their own, for whatever family.
ENVELOPE_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "event_id": "event_id",
        "event_type": "event_type",
        "timestamp": "occurred_at",
        "event_ts": "occurred_at",
        "event_time": "occurred_at",
        "app_id": "app_id",
    }
)


def shapes_of(shape: Any) -> list[inspect.StructType]:
    """The structs of a contract's shape, which may be a union of them."""
    info = inspect.type_info(shape)
    options = info.types if isinstance(info, inspect.UnionType) else (info,)
    return [option for option in options if isinstance(option, inspect.StructType)]


def without_none(kind: inspect.Type) -> tuple[inspect.Type, bool]:
    """(the type, whether null is allowed besides)."""
    if isinstance(kind, inspect.Metadata):
        inner, may_be_null = without_none(kind.type)
        return (inner if may_be_null else kind), may_be_null
    if isinstance(kind, inspect.UnionType) and any(isinstance(item, inspect.NoneType) for item in kind.types):
        rest = tuple(item for item in kind.types if not isinstance(item, inspect.NoneType))
        return (rest[0] if len(rest) == 1 else inspect.UnionType(rest)), True
    return kind, False


def annotations(kind: inspect.Type) -> dict[str, str]:
    """JSON Schema's `description` and our `x-unit` and `x-pii`, also where null may stand instead; the outermost word counts."""
    match kind:
        case inspect.Metadata():
            return {**annotations(kind.type), **(kind.extra_json_schema or {})}
        case inspect.UnionType():
            inner, may_be_null = without_none(kind)
            return annotations(inner) if may_be_null else {}
        case inspect.StructType():
            return {"description": (kind.cls.__doc__ or "").strip()}
    return {}


def meaning(kind: inspect.Type) -> str:
    """The description, empty where there is none."""
    return annotations(kind).get("description", "")


def words_of(kind: inspect.Type) -> list[str]:
    """The words of a closed set, none for any other type."""
    inner, _ = without_none(kind)
    while isinstance(inner, inspect.Metadata):
        inner = inner.type
    return [str(value) for value in inner.values] if isinstance(inner, inspect.LiteralType) else []


def event_types(contract: Contract) -> list[str]:
    """The types of its events; none where the client names them as it likes."""
    if contract.event_type is not None:
        return [contract.event_type]
    if contract.actor_fields:  # foreign: its own fields name it
        return []
    found: list[str] = []
    for struct in shapes_of(contract.shape):
        if struct.tag_field is not None:
            found.append(str(struct.tag))
        else:
            found += words_of(next(field.type for field in struct.fields if field.encode_name == "event_type"))
    return found


def silver_column(family: Family, name: str, *, is_user_id: bool) -> str:
    """Where silver.events has a field of the body itself: a column, or `payload` for what only one of the other families has."""
    if is_user_id:
        return "user_id"
    if family not in OWN_FAMILIES:  # a foreign body is its own payload
        return "payload"
    if name in ENVELOPE_COLUMNS:
        return ENVELOPE_COLUMNS[name]
    return name if family is Family.ENGAGEMENT else "payload"
