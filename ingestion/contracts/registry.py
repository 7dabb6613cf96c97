"""All contracts by name. A contract is a family and a version of its shape; its name is what records carry in `ce_dataschema`.

A second version of a family is a second line: its shape in a module of its own, the name with the next number. Both are taken then. An
event whose sender names no version is of the newest one that it keeps; a sender that names one (`ce-dataschema`) is held to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ingestion.contracts import cloudevent, download, engagement, generic, product, segment, social
from ingestion.contracts.families import Family
from ingestion.contracts.reasons import Reason
from ingestion.contracts.rules import FreeFields


class Event(Protocol):
    """What every shape can say."""

    @property
    def event_id(self) -> str | None:
        """The client's id."""
        ...

    @property
    def event_type(self) -> str:
        """What happened."""
        ...

    @property
    def user_id(self) -> str:
        """Who acted, as written."""
        ...

    def occurred_at(self) -> str | None:
        """Canonical text, None when the event carries no time. Raises: TimestampError."""
        ...


@dataclass(frozen=True)
class Contract:
    """One version of one family. `shape` is a msgspec Struct, or a union of tagged ones.

    `event_type` is the type of all its events where they name none; `millisecond_fields` hold the event's time. A retired one is not
    taken from clients any more; what has landed of it stays good. A foreign contract says in which of its fields id, type and user stand,
    the first that is filled; `free_fields` is what it asks of fields without a name.
    """

    name: str
    shape: Any
    event_type: str | None = None
    millisecond_fields: frozenset[str] = frozenset()
    is_retired: bool = False
    id_field: str | None = "event_id"
    type_fields: tuple[str, ...] = ("event_type",)
    actor_fields: tuple[str, ...] = ()
    free_fields: FreeFields | None = None

    @property
    def family(self) -> Family:
        """The family of the name."""
        return Family(self.name.partition("/")[0])

    @property
    def version(self) -> int:
        """The number of the name."""
        return int(self.name.partition("/")[2])


class UnknownContractError(ValueError):
    """No such contract is taken; the message names those that are."""

    reason = Reason.UNKNOWN_CONTRACT


@dataclass(frozen=True)
class Registry:
    """Contracts by name, and what is taken of each family."""

    contracts: Mapping[str, Contract]
    accepted: Mapping[Family, tuple[Contract, ...]]
    """Newest first."""

    @classmethod
    def of(cls, contracts: Iterable[Contract]) -> "Registry":
        """Raises: ValueError when a name is there twice or a family has no version left to take."""
        known: dict[str, Contract] = {}
        for contract in contracts:
            if contract.name in known:
                raise ValueError(f"{contract.name} is registered twice")
            known[contract.name] = contract
        accepted: dict[Family, tuple[Contract, ...]] = {}
        for family in dict.fromkeys(contract.family for contract in known.values()):
            of_family = [item for item in known.values() if item.family == family and not item.is_retired]
            if not of_family:
                raise ValueError(f"{family.value}: every version is retired")
            accepted[family] = tuple(sorted(of_family, key=lambda item: item.version, reverse=True))
        return cls(known, accepted)

    @property
    def newest(self) -> dict[Family, Contract]:
        """The newest version of each family."""
        return {family: versions[0] for family, versions in self.accepted.items()}

    def choose(self, name: str) -> Contract:
        """The contract that a sender names. Raises: UnknownContractError when there is none of that name or it is retired."""
        found = self.contracts.get(name)
        if found is None or found.is_retired:
            names = ", ".join(item.name for versions in self.accepted.values() for item in versions)
            raise UnknownContractError(f"no such contract is taken; there are {names}")
        return found


REGISTRY = Registry.of(
    (
        Contract(engagement.CONTRACT, engagement.EngagementEvent),
        Contract(product.CONTRACT, product.ProductEvent, millisecond_fields=frozenset({"event_ts", "event_time"})),
        Contract(generic.CONTRACT, generic.GenericEvent),
        Contract(social.CONTRACT, social.SocialEvent),
        Contract(
            download.CONTRACT, download.DownloadEvent, download.EVENT_TYPE, millisecond_fields=frozenset({"timestamp"})
        ),
        Contract(
            segment.CONTRACT,
            segment.SegmentCall,
            id_field=segment.ID_FIELD,
            type_fields=segment.TYPE_FIELDS,
            actor_fields=segment.ACTOR_FIELDS,
        ),
        Contract(
            cloudevent.CONTRACT,
            cloudevent.CloudEvent,
            id_field=None,
            type_fields=cloudevent.TYPE_FIELDS,
            actor_fields=cloudevent.ACTOR_FIELDS,
            free_fields=cloudevent.EXTENSIONS,
        ),
    )
)
CONTRACTS = REGISTRY.contracts
NEWEST = REGISTRY.newest
