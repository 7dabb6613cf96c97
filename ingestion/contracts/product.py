"""The product contract (S1): somebody saw a page, was exposed to a variant of a feature, or converted.

An event says when it happened as `event_ts` or, as older clients do, as `event_time`.
"""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from ingestion.contracts.clocks import parse_milliseconds
from ingestion.contracts.fields import EventId, Key, Milliseconds, ShortText, UserId
from ingestion.contracts.rules import AnyOf, Needs, Rule, Same, check

CONTRACT = "product/1"

ProductType = Literal["page_view", "feature_exposed", "conversion"]


class Claims(msgspec.Struct, gc=False):
    """What an event says of itself that only its receiver can judge."""

    app_id: str | None
    experiment_id: str | None
    variant: str | None


class ProductEvent(msgspec.Struct, gc=False):
    """One product event. `event_ts` or `event_time` is required; an event of an experiment names its variant."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        AnyOf(("event_ts", "event_time")),
        Same(("event_ts", "event_time")),
        Needs(("experiment_id", "variant")),
    )

    event_id: EventId
    event_type: Annotated[ProductType, Meta(description="What happened.")]
    user_id: UserId
    event_ts: Milliseconds | None = None
    event_time: Annotated[Milliseconds | None, Meta(description="The older name of event_ts.")] = None
    experiment_id: Annotated[Key | None, Meta(description="The experiment that the user was in.")] = None
    variant: Annotated[Key | None, Meta(description="One of the experiment's; required with experiment_id.")] = None
    producer_ts: Annotated[Milliseconds | None, Meta(description="When the client sent it, by its own clock.")] = None
    properties: Annotated[dict[str, Any] | None, Meta(description="Whatever belongs to it.")] = None
    sdk_version: Annotated[ShortText | None, Meta(description="The version of the client library.")] = None
    source: Annotated[ShortText | None, Meta(description="Which part of the application sent it.")] = None
    app_id: Annotated[ShortText | None, Meta(description="The key's app; another one is refused.")] = None

    def __post_init__(self) -> None:
        """Raises: ValueError when fields do not fit together."""
        check(self, self.RULES)

    def claims(self) -> Claims | None:
        """None when there is nothing to judge."""
        if self.app_id is None and self.experiment_id is None:
            return None
        return Claims(self.app_id, self.experiment_id, self.variant)

    def occurred_at(self) -> str | None:
        """Canonical text. Raises: TimestampError."""
        value = self.event_ts if self.event_ts is not None else self.event_time
        return None if value is None else parse_milliseconds(value)
