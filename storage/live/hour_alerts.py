"""How the alert of an hour whose live minutes differ from gold is named."""

from datetime import UTC, datetime

DIFFERS = "live_differs_from_gold"


def subject_of(hour: datetime) -> str:
    """The hour, so that subjects are in the order of time."""
    return f"{hour.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
