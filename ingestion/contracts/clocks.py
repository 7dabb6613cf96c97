"""Times as the platform writes and reads them: RFC 3339, UTC, microseconds, `2015-01-01T00:00:00.000000Z`.

Texts of this form sort as times do, so limits are compared as text. Reading is liberal (zone missing means UTC, a space for the T,
epoch numbers), writing is not.
"""

from datetime import UTC, date, datetime, timedelta
from functools import cache

FUTURE_TOLERANCE_SECONDS = 60
_FUTURE_TOLERANCE = timedelta(seconds=FUTURE_TOLERANCE_SECONDS)

# Seconds up to the year 2603, milliseconds above: the same watershed as pydantic's, which existing clients rely on.
_EPOCH_SECONDS_LIMIT = 20_000_000_000
_SHORTEST_LENGTH = len("2015-01-01T00:00:00")
_LONGEST_LENGTH = 64
_EXPECTED = "expected an RFC 3339 time such as 2015-01-01T00:00:00Z"
CANONICAL_LENGTH = len("2015-01-01T00:00:00.000000Z")
CANONICAL_SEPARATORS = "--T::."  # every third character of 2015-01-01T00:00:00.000000Z from the fifth on

_OFFSET_AT = CANONICAL_LENGTH - 1
_FRACTION_AT = len("2015-01-01T00:00:00.")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_from_iso = datetime.fromisoformat


class TimestampError(ValueError):
    """The value is not a point in time that the platform understands. The message says what is expected."""


def format_utc(moment: datetime) -> str:
    """The canonical text of an aware datetime."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:_OFFSET_AT] + "Z"


class UtcFormatter:
    """`format_utc` for moments that follow one another closely: most of a text is that of the moment before. Not for several threads."""

    def __init__(self) -> None:
        self._second = self._next = datetime.min.replace(tzinfo=UTC)
        self._prefix = ""

    def format(self, moment: datetime) -> str:
        """The canonical text of an aware datetime."""
        if not self._second <= moment < self._next:
            moment = moment.astimezone(UTC)
            self._second = moment.replace(microsecond=0)
            self._next = self._second + timedelta(seconds=1)
            self._prefix = format_utc(self._second)[:_FRACTION_AT]
        return f"{self._prefix}{moment.microsecond:06d}Z"


def parse_timestamp(value: str | int | float) -> str:
    """The canonical text of an RFC 3339 time or of an epoch number (seconds up to 2e10, milliseconds above).

    Raises: TimestampError.
    """
    if isinstance(value, str):
        return _parse_rfc3339(value)
    seconds = value if abs(value) <= _EPOCH_SECONDS_LIMIT else value / 1000
    try:
        return format_utc(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        raise TimestampError("an epoch number must lie between the years 1 and 9999") from None


def parse_milliseconds(value: int) -> str:
    """The canonical text of a field that is milliseconds by contract, whatever its size. Raises: TimestampError."""
    try:
        return format_utc(_EPOCH + timedelta(milliseconds=value))
    except OverflowError:
        raise TimestampError("milliseconds must lie between the years 1 and 9999") from None


def is_canonical(text: str) -> bool:
    """True when the text is a time and written in the platform's own form."""
    if len(text) != CANONICAL_LENGTH or text[4:20:3] != CANONICAL_SEPARATORS or text[-1] != "Z":
        return False
    try:
        _from_iso(text)
    except ValueError:
        return False
    return True


def _parse_rfc3339(text: str) -> str:
    if is_canonical(text):
        return text
    if not _SHORTEST_LENGTH <= len(text) <= _LONGEST_LENGTH or not (
        text[4] == text[7] == "-" and text[13] == text[16] == ":" and text[10] in "Tt "
    ):
        raise TimestampError(_EXPECTED)
    try:
        moment = _from_iso(text[:-1] + "Z" if text[-1] == "z" else text)
        return format_utc(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise TimestampError(_EXPECTED) from None


def latest_occurred_at(received_at: datetime) -> str:
    """Events that occurred after this are rejected."""
    return format_utc(received_at + _FUTURE_TOLERANCE)


@cache
def earliest_occurred_at(first_day: date) -> str:
    """Events that occurred before this are rejected."""
    return format_utc(datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC))
