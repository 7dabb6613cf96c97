"""Which family an event belongs to, by its fields."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from ingestion.contracts.reasons import Reason


class Family(StrEnum):
    """A contract family that the edge accepts."""

    ENGAGEMENT = "engagement"
    GENERIC = "generic"


class UnknownFamilyError(ValueError):
    """No rule names a family for this event; the message names the rules."""

    reason = Reason.UNKNOWN_FAMILY


MIXED_RULE = (
    "a mixed line with payload is generic, one with platform is engagement; "
    "event_ts or event_time (the product family) is not accepted yet"
)
GENERIC_OR_PRODUCT_RULE = (
    "POST /events takes payload (generic) or event_ts/event_time (product, not accepted yet), and exactly one of them"
)


def detect_family(document: Mapping[str, Any]) -> Family:
    """The family of a line in a mixed batch. Raises: UnknownFamilyError naming the rule."""
    if "event_ts" in document or "event_time" in document:
        raise UnknownFamilyError(MIXED_RULE)
    if "payload" in document:
        return Family.GENERIC
    if "platform" in document:
        return Family.ENGAGEMENT
    raise UnknownFamilyError(MIXED_RULE)


def detect_generic(document: Mapping[str, Any]) -> Family:
    """The family of a body of `POST /events`: payload means generic. Raises: UnknownFamilyError naming the rule."""
    if "payload" not in document or "event_ts" in document or "event_time" in document:
        raise UnknownFamilyError(GENERIC_OR_PRODUCT_RULE)
    return Family.GENERIC


def only_engagement(_: Mapping[str, Any]) -> Family:
    """The rule of an address that takes engagements only."""
    return Family.ENGAGEMENT


def only_generic(_: Mapping[str, Any]) -> Family:
    """The rule of an address that takes generic events only."""
    return Family.GENERIC


def only(family: Family) -> Callable[[Mapping[str, Any]], Family]:
    """The rule of an address that takes one family."""
    return only_engagement if family is Family.ENGAGEMENT else only_generic
