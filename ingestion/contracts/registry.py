"""All contracts by name. A contract is a family and a version of its shape; its name is what records carry in `ce_dataschema`."""

from dataclasses import dataclass
from typing import Any, Protocol

from ingestion.contracts import cloudevent, download, engagement, generic, product, segment, social
from ingestion.contracts.families import Family
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

    `event_type` is the type of all its events where they name none; `millisecond_fields` hold the event's time. A foreign contract
    says in which of its fields id, type and user stand, the first that is filled; `free_fields` is what it asks of fields without a name.
    """

    name: str
    shape: Any
    event_type: str | None = None
    millisecond_fields: frozenset[str] = frozenset()
    id_field: str | None = "event_id"
    type_fields: tuple[str, ...] = ("event_type",)
    actor_fields: tuple[str, ...] = ()
    free_fields: FreeFields | None = None

    @property
    def family(self) -> Family:
        """The family of the name."""
        return Family(self.name.partition("/")[0])


CONTRACTS: dict[str, Contract] = {
    contract.name: contract
    for contract in (
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
}
NEWEST: dict[Family, Contract] = {contract.family: contract for contract in CONTRACTS.values()}
