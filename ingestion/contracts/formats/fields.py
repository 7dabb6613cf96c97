"""What a contract's field says about itself: words, meaning, unit and whose data it is. Read from the msgspec types."""

from typing import Any

import msgspec.inspect as inspect


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
