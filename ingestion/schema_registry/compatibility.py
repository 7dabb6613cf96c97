"""The compatibility levels of a registry, and the messages that say why a schema breaks one.

Whether a reader can read what a writer wrote is asked of Avro's own checker; here is only who must read whom.
"""

from collections.abc import Sequence

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from ingestion.contracts.compatibility import Level
from ingestion.schema_registry.avro_schemas import parse

DEFAULT_LEVEL = Level.BACKWARD


def faults(level: Level, candidate: str, earlier: Sequence[str]) -> list[str]:
    """Why `candidate` breaks the level towards the earlier versions (oldest first); empty when it keeps it. Canonical texts."""
    compared = earlier if level.is_transitive else earlier[-1:]
    return [fault for text in reversed(compared) for fault in _between(level, candidate, text)]


def _between(level: Level, candidate: str, earlier: str) -> list[str]:
    found: list[str] = []
    if level.value.startswith(("BACKWARD", "FULL")):
        found += [f"the new schema cannot read the old one: {fault}" for fault in unreadable(candidate, earlier)]
    if level.value.startswith(("FORWARD", "FULL")):
        found += [f"the old schema cannot read the new one: {fault}" for fault in unreadable(earlier, candidate)]
    return found


def unreadable(reader: str, writer: str) -> list[str]:
    """What of `writer` the reader cannot read; empty when it can read everything."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # Avro's own has no types here
    result = checker.get_compatibility(parse(reader), parse(writer))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    kinds = ", ".join(dict.fromkeys(kind.value for kind in result.incompatibilities))
    return [f"{kinds} at {', '.join(sorted(result.locations))}: {'; '.join(sorted(result.messages))}"]
