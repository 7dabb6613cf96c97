"""How the bodies of engagement events drift when clients are changed: what must still be taken, and as the same event, and what must not.

A drift keeps an event's meaning or breaks its contract; `is_accepted` says which, and no verdict of the product is asked for it. What is
refused is in no journal: were it published, it would be an event that nobody sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Body = dict[str, Any]
TEN_YEARS = timedelta(days=3653)
_OTHER_ZONE = timedelta(hours=5, minutes=30)


@dataclass(frozen=True)
class Drift:
    """A change of one body."""

    name: str
    is_accepted: bool
    change: Callable[[Body], Body]


def setting(**fields: Any) -> Callable[[Body], Body]:
    """Fields added or replaced."""
    return lambda body: body | fields


def without(name: str) -> Callable[[Body], Body]:
    """A field gone."""
    return lambda body: {field: value for field, value in body.items() if field != name}


def renamed(name: str, other: str) -> Callable[[Body], Body]:
    """A field under another name."""
    return lambda body: {other if field == name else field: value for field, value in body.items()}


def timed(write: Callable[[datetime], Any]) -> Callable[[Body], Body]:
    """The same moment, written otherwise."""
    return lambda body: body | {"timestamp": write(datetime.fromisoformat(body["timestamp"]))}


def in_another_zone(moment: datetime) -> str:
    """The local time of a client elsewhere, with its offset."""
    return (moment.astimezone(UTC) + _OTHER_ZONE).strftime("%Y-%m-%dT%H:%M:%S.%f+05:30")


TAKEN = (
    Drift("a_field_is_new", True, setting(campaign="spring", score=0.5)),
    Drift("an_object_is_new", True, setting(device={"os": {"name": "x", "versions": [1, 2]}})),
    Drift("a_list_is_new", True, setting(tags=["a", None, {"b": 1}])),
    Drift("an_optional_field_is_gone", True, without("content_id")),
    Drift("an_optional_field_is_null", True, setting(content_id=None, session_id=None)),
    Drift("fields_come_in_another_order", True, lambda body: dict(reversed(body.items()))),
    Drift("known_fields_are_filled", True, setting(metadata={"a": "1"}, session_id="s", location="Malmö")),
    Drift("the_user_has_white_space_around", True, lambda body: body | {"user_id": f" {body['user_id']}\t"}),
    Drift("the_time_is_in_seconds", True, timed(datetime.timestamp)),
    Drift("the_time_is_in_milliseconds", True, timed(lambda moment: int(moment.timestamp() * 1000))),
    Drift("the_time_is_in_another_zone", True, timed(in_another_zone)),
    Drift("the_time_has_no_zone", True, timed(lambda moment: moment.replace(tzinfo=None).isoformat(" "))),
)
REFUSED = (
    Drift("the_type_is_unknown", False, setting(event_type="superlike")),
    Drift("the_type_is_renamed", False, renamed("event_type", "type")),
    Drift("the_user_is_renamed", False, renamed("user_id", "userId")),
    Drift("the_user_is_a_number", False, setting(user_id=7)),
    Drift("the_user_is_blank", False, setting(user_id="  ")),
    Drift("the_platform_is_unknown", False, setting(platform="television")),
    Drift("the_platform_is_null", False, setting(platform=None)),
    Drift("the_content_is_an_object", False, lambda body: body | {"content_id": {"id": body["content_id"]}}),
    Drift("metadata_holds_numbers", False, setting(metadata={"a": 1})),
    Drift("the_time_is_local", False, setting(timestamp="26/11/2026 10:00")),
    Drift(
        "the_clock_is_ten_years_ahead",
        False,
        lambda body: body | {"timestamp": (datetime.now(UTC) + TEN_YEARS).isoformat()},
    ),
    Drift("the_event_is_wrapped", False, lambda body: {"event": body}),
)
DRIFTS = TAKEN + REFUSED
