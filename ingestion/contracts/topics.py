"""The Kafka topics of the platform: their default names, what a name must be, and the settings they are created with.

Holds no setting: `storage.settings` reads the names, once per process, and passes `TopicNames` on. Whoever has a broker at hand creates
the topics. The broker's clock stamps every record (`LogAppendTime`), so that no producer can poison a watermark or a retention rule.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

# The defaults, for tests and this module: whatever reads a topic takes its name from the settings.
LIVE_TOPIC = "events.raw.v1"
IMPORT_TOPIC = "events.import.v1"
DEAD_LETTER_TOPIC = "events.dlq.v1"
DOWNLOADS_TOPIC = "content-downloads"

PARTITION_COUNT = 4
MAX_RECORD_SIZE_BYTES = 2 * 1024 * 1024
# Leaves room for key, headers and the batch's own overhead.
MAX_VALUE_SIZE_BYTES = MAX_RECORD_SIZE_BYTES - 64 * 1024

LANDED_ROLES = ("live", "dead_letters", "imports")

MAX_NAME_LENGTH = 249
_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_NAME_LENGTH}}}")

_CONFIG: Mapping[str, str] = MappingProxyType(
    {
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
        "max.message.bytes": str(MAX_RECORD_SIZE_BYTES),
        "compression.type": "producer",
    }
)


@dataclass(frozen=True)
class TopicSpec:
    """One topic as it must exist before anything is produced to it."""

    name: str
    partitions: int = PARTITION_COUNT
    config: Mapping[str, str] = field(default_factory=lambda: _CONFIG)


@dataclass(frozen=True)
class TopicNames:
    """Which topic has which role. Names that `problems_of` finds nothing in."""

    live: str = LIVE_TOPIC
    imports: str = IMPORT_TOPIC
    dead_letters: str = DEAD_LETTER_TOPIC
    downloads: str = DOWNLOADS_TOPIC
    """An inlet that clients write to themselves. It is not landed: a bridge judges and stamps its records into those that are."""

    @property
    def landed(self) -> tuple[str, ...]:
        """The topics whose every record becomes a row of bronze."""
        return tuple(self.landed_roles.values())

    @property
    def landed_roles(self) -> dict[str, str]:
        """Their names by role."""
        return {role: self.by_role[role] for role in LANDED_ROLES}

    @property
    def by_role(self) -> dict[str, str]:
        """The name of each role."""
        return asdict(self)

    @property
    def specs(self) -> tuple[TopicSpec, ...]:
        """Every topic, to be created."""
        return tuple(TopicSpec(name) for name in self.by_role.values())


def problems_of(names: Mapping[str, str]) -> list[str]:
    """What is wrong with these topics, by whatever names them: a name that Kafka refuses, or one for two of them.

    Kafka makes one metric name of `a.b` and `a_b`, so it refuses the second of them.
    """
    problems = [f"{owner}={name!r} {found}" for owner, name in names.items() if (found := _problem_of(name))]
    owners: dict[str, list[str]] = {}
    for owner, name in names.items():
        owners.setdefault(name.replace(".", "_"), []).append(owner)
    problems += [
        f"{' and '.join(shared)} name one topic ({', '.join(sorted({names[owner] for owner in shared}))}): "
        "give each a topic of its own ('.' and '_' are one letter to Kafka)"
        for shared in owners.values()
        if len(shared) > 1
    ]
    return problems


def _problem_of(name: str) -> str | None:
    if not _NAME.fullmatch(name) or name in (".", ".."):
        return f"is no name of a Kafka topic: 1 to {MAX_NAME_LENGTH} letters, digits, '.', '_' and '-', and not '.' or '..' alone"
    if name.startswith("__"):
        return "is a name for Kafka's own topics: choose one that does not begin with '__'"
    return None
