"""Which hours of a build grow: only what arrived is read, and added to what is published. Every other hour is built whole.

Bronze is append-only and the first copy wins, so what landed later changes no published row of silver, as long as the rules are the same.
An hour grows only where that is known of what it was published from; the whole build is the reference, and decision 31 has the argument.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Engine

from platform_assets.windows import Window
from storage.control.hours import DirtyHour, list_dirty
from storage.settings import StorageSettings

# What fails in a build: a check refused rows, or could not look at them because an input was away, say.
FAILED_CHECK, BROKEN_CHECK, MODEL = "check", "broken check", "model"
# So often an hour grows again after a build that failed before any row was judged: an input was away, say. What a whole build costs grows
# with the hour, and while inputs come and go it would hardly ever get through.
GROWING_ATTEMPTS = 3
# Everything else is asked for because published rows may be wrong, or comes from another input.
GROWING_CAUSES = frozenset({"arrival", "late"})


def rules_version(code_version: str, settings: StorageSettings, avro_schemas: str) -> str:
    """Twelve hex digits for all that decides an hour's rows besides bronze: code, settings, and schemas of Avro bodies."""
    decisive = [code_version, settings.late_after_seconds, settings.deduplication_horizon_days, avro_schemas]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:12]


def growing_versions(window: Window, dirty: Iterable[DirtyHour], cause: str, rules: str) -> dict[datetime, int]:
    """The hours of the window that may grow, with the bronze version that their published rows come from.

    Not an hour that nothing arrived in (whoever asks for it wants it built again), one whose rows a check refused or whose builds keep
    failing, or one that was published by other rules.
    """
    wanted = set(window.hours) if cause in GROWING_CAUSES else set()
    return {
        hour.hour: hour.published_version
        for hour in dirty
        if hour.hour in wanted
        and hour.published_version is not None
        and hour.rules_version == rules
        and _may_grow_again(hour)
    }


def _may_grow_again(hour: DirtyHour) -> bool:
    if not hour.attempts:
        return True
    is_refused = (hour.blocked_by or "").startswith(f"{FAILED_CHECK} ")
    return not is_refused and hour.attempts < GROWING_ATTEMPTS


def find_cutoffs(
    settings: StorageSettings, engine: Engine, window: Window, cause: str, rules: str
) -> Mapping[datetime, datetime]:
    """Per growing hour, the stamp up to which its records are published. Call after the base is pinned.

    A publication that comes between the two makes the base stale, so the build is made again; the stamps are then read again too.
    """
    from storage.bronze import landing_stamps

    versions = growing_versions(window, list_dirty(engine), cause, rules)
    stamps = landing_stamps(settings, versions.values()) if versions else {}
    return {hour: stamps[version] for hour, version in sorted(versions.items()) if version in stamps}
