"""What a client may ask."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from serving import parameters as asked

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("model", "name", "accepted", "refused"),
    [
        (asked.EventsParameters, "hours_back", [1, 168], [0, 169, -1, "x", 1.5, "", "1e2"]),
        (asked.EventsParameters, "limit", [1, 1000], [0, 1001, 10**30]),
        (asked.EventsParameters, "time_window", ["5min", "1hr", "1day"], ["1min", "", "5MIN"]),
        (asked.EventsParameters, "event_type", ["click", "like", "comment", "share", "view"], ["buy", ""]),
        (asked.EventsParameters, "platform", ["web", "ios", "android", "mobile_web"], ["none", ""]),
        (asked.UsersParameters, "hours_back", [1, 168], [0, 169]),
        (asked.UsersParameters, "limit", [1, 1000], [0, 1001]),
        (asked.UsersParameters, "user_id", ["u", "x" * 100], ["", "   ", "x" * 101]),
        (asked.TopUsersParameters, "limit", [1, 100], [0, 101]),
        (asked.RangeParameters, "publication", [1, 2**63 - 1], [0, -1, 2**63]),
        (asked.PublicationsParameters, "limit", [1, 100], [0, 101]),
        (asked.PublicationsParameters, "before", [1], [0, 2**63]),
        (asked.PublicationDiffParameters, "period", ["day", "hour"], ["week", ""]),
        (asked.PublicationDiffParameters, "limit", [1, 1000], [0, 1001]),
    ],
)
def test_bounds(model: type[BaseModel], name: str, accepted: list[Any], refused: list[Any]) -> None:
    for value in accepted:
        assert getattr(model.model_validate({name: value}), name) == value
    for value in refused:
        with pytest.raises(ValidationError):
            model.model_validate({name: value})


def test_defaults_are_those_of_the_contract() -> None:
    events, users, top = asked.EventsParameters(), asked.UsersParameters(), asked.TopUsersParameters()
    assert (events.time_window, events.hours_back, events.limit) == ("5min", 1, 100)
    assert (users.hours_back, users.limit) == (24, 100)
    assert (top.hours_back, top.limit) == (24, 10)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05T12:00:00Z",
        "2026-01-05T12:00:00",
        "2026-01-05T12:00:00.000000+00:00",
        "2026-01-05T12:00:00 00:00",  # an unescaped plus
        "2026-01-05T14:30:00+02:30",
        "2026-01-05 12:00:00",
    ],
)
def test_until_is_read_as_utc(text: str) -> None:
    assert asked.RangeParameters.model_validate({"until": text}).until == NOON


@pytest.mark.parametrize(
    "text", ["", "now", "1767614400", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-13-01T00:00:00Z", "NaN"]
)
def test_until_that_is_no_time_of_a_usable_year_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        asked.RangeParameters.model_validate({"until": text})


@pytest.mark.parametrize(
    ("from_at", "to_at", "is_range"),
    [
        ("2026-01-05", "2026-01-06", True),
        ("2026-01-06", "2026-01-06", False),
        ("2026-01-06", "2026-01-05", False),
        (None, "2026-01-05", True),
        ("2026-01-05", None, True),
    ],
)
def test_a_range_of_differences_ends_after_it_begins(from_at: str | None, to_at: str | None, is_range: bool) -> None:
    fields = {name: text for name, text in (("from", from_at), ("to", to_at)) if text}
    if is_range:
        assert asked.PublicationDiffParameters.model_validate(fields)
        return
    with pytest.raises(ValidationError, match="before"):
        asked.PublicationDiffParameters.model_validate(fields)


def test_a_user_id_is_trimmed() -> None:
    assert asked.UsersParameters.model_validate({"user_id": "  u1 "}).user_id == "u1"
