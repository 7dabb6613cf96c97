"""Which family an event belongs to, by its fields."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from ingestion.contracts.reasons import Reason
from ingestion.contracts.social import EVENT_TYPES as SOCIAL_TYPES

FamilyRule = Callable[[Mapping[str, Any]], "Family"]


class Family(StrEnum):
    """A contract family that the edge accepts."""

    ENGAGEMENT = "engagement"
    PRODUCT = "product"
    GENERIC = "generic"
    SOCIAL = "social"
    DOWNLOAD = "download"
    SEGMENT = "segment"
    CLOUDEVENT = "cloudevent"


# The others come by the addresses of their protocols.
OWN_FAMILIES = (Family.ENGAGEMENT, Family.PRODUCT, Family.GENERIC, Family.SOCIAL, Family.DOWNLOAD)


class UnknownFamilyError(ValueError):
    """No rule names a family for this event; the message names the rules."""

    reason = Reason.UNKNOWN_FAMILY


MIXED_RULE = (
    "a mixed line is of the family that its fields name, and of one only: payload generic, event_ts or event_time product, download a "
    "download, a social event_type social, platform (without payload) engagement"
)
GENERIC_OR_PRODUCT_RULE = (
    "POST /events takes payload (generic) or event_ts/event_time (product), and exactly one of them"
)


def detect_family(document: Mapping[str, Any]) -> Family:
    """The family of a line in a mixed batch. Raises: UnknownFamilyError naming the rule."""
    named = set()
    if "payload" in document:
        named.add(Family.GENERIC)
    elif "platform" in document:
        named.add(Family.ENGAGEMENT)
    if "event_ts" in document or "event_time" in document:
        named.add(Family.PRODUCT)
    if "download" in document and "payload" not in document:
        named.add(Family.DOWNLOAD)
    event_type = document.get("event_type")
    if type(event_type) is str and event_type in SOCIAL_TYPES and "payload" not in document:
        named.add(Family.SOCIAL)
    if len(named) != 1:
        raise UnknownFamilyError(MIXED_RULE)
    return named.pop()


def detect_generic_or_product(document: Mapping[str, Any]) -> Family:
    """The family of a body of `POST /events`. Raises: UnknownFamilyError naming the rule."""
    is_product = "event_ts" in document or "event_time" in document
    if is_product == ("payload" in document):
        raise UnknownFamilyError(GENERIC_OR_PRODUCT_RULE)
    return Family.PRODUCT if is_product else Family.GENERIC


@cache
def only(family: Family) -> FamilyRule:
    """The rule of an address that takes one family; the same rule for the same family."""
    return lambda _document: family
