"""What a registered experiment is, which bodies describe one, and how one may change. Pure.

The first variant is the control. Once an experiment has started, its variants are in events: they stay, in their order, and more may
follow; when it started stays too. Shares and the end may change.
"""

from datetime import datetime
from math import fsum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ingestion.contracts.clocks import TimestampError, format_utc, parse_timestamp
from ingestion.contracts.fields import Key, Timestamp
from ingestion.contracts.strict_json import StrictJsonError, decode

MAX_ID_LENGTH: Final = 100
SHARES_TOLERANCE: Final = 1e-9
# What clients may send for an experiment that nobody registered.
UNREGISTERED_VARIANTS: Final = frozenset({"A", "B"})


class ExperimentError(ValueError):
    """The body describes no experiment; the message says what is expected."""


class ExperimentConflictError(ValueError):
    """The experiment has started and may not change so."""


class Experiment(msgspec.Struct, frozen=True):
    """One experiment of one app. Times are canonical text; without them it runs from its registration on, for ever."""

    experiment_id: str
    variants: tuple[str, ...]
    shares: tuple[float, ...]
    starts_at: str | None = None
    ends_at: str | None = None

    def has_started(self, now: datetime) -> bool:
        """True from `starts_at` on; an experiment without one has started."""
        return self.starts_at is None or self.starts_at <= format_utc(now)


class ExperimentBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client writes. `shares` are one per variant and sum to 1; equal when absent."""

    variants: Annotated[
        list[Key], Meta(min_length=2, max_length=100, description="Distinct; the first is the control.")
    ]
    shares: (
        Annotated[
            list[Annotated[float, Meta(gt=0, le=1)]], Meta(description="One per variant, sum 1; equal when absent.")
        ]
        | None
    ) = None
    starts_at: Timestamp | None = None
    ends_at: Timestamp | None = None
    experiment_id: Annotated[Key | None, Meta(description="That of the address, if given.")] = None


def read_experiment(experiment_id: str, body: bytes) -> Experiment:
    """The experiment that a body describes. Raises: ExperimentError."""
    if not 1 <= len(experiment_id) <= MAX_ID_LENGTH or "\0" in experiment_id:
        raise ExperimentError(f"an experiment's id has 1 to {MAX_ID_LENGTH} characters, none of them U+0000")
    try:
        found = msgspec.convert(decode(body), ExperimentBody)
        starts_at, ends_at = (_time(name, getattr(found, name)) for name in ("starts_at", "ends_at"))
    except StrictJsonError as error:
        raise ExperimentError(error.message) from None
    except msgspec.ValidationError as error:
        raise ExperimentError(str(error)[:200]) from None
    if found.experiment_id not in (None, experiment_id):
        raise ExperimentError("experiment_id differs from the address")
    count = len(found.variants)
    if len(set(found.variants)) < count or any("\0" in variant for variant in found.variants):
        raise ExperimentError("variants must be distinct, without U+0000")
    shares = [1 / count] * count if found.shares is None else found.shares
    if len(shares) != count or abs(fsum(shares) - 1) > SHARES_TOLERANCE:
        raise ExperimentError(f"shares must be one per variant and sum to 1, found {len(shares)} for {count} variants")
    if starts_at is not None and ends_at is not None and starts_at >= ends_at:
        raise ExperimentError("starts_at must lie before ends_at")
    return Experiment(experiment_id, tuple(found.variants), tuple(shares), starts_at, ends_at)


def assure_may_become(old: Experiment, new: Experiment, now: datetime) -> None:
    """Raises: ExperimentConflictError when `old` has started and `new` would disown events of it."""
    if not old.has_started(now):
        return
    if new.variants[: len(old.variants)] != old.variants:
        raise ExperimentConflictError("the experiment has started: its variants stay in their order, more may follow")
    if new.starts_at != old.starts_at:
        raise ExperimentConflictError("the experiment has started: starts_at stays")


def _time(name: str, value: str | int | float | None) -> str | None:
    try:
        return None if value is None else parse_timestamp(value)
    except TimestampError as error:
        raise ExperimentError(f"{name}: {error}") from None
