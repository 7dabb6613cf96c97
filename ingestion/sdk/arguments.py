"""What a client may be made with, checked before anything is opened. ValueErrors here are a programmer's, not an event's."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import httpx

from ingestion.sdk.stores import MemoryStore, Store
from ingestion.sdk.tuning import Tuning

Mode = Literal["background", "each", "manual"]
Sleep = Callable[[float], None]


def known_mode(mode: Mode) -> Mode:
    """Raises: ValueError."""
    if mode not in ("background", "each", "manual"):
        raise ValueError(f"mode must be background, each or manual, found {mode!r}")
    return mode


def positive_seconds(name: str, seconds: float) -> float:
    """Raises: ValueError."""
    if not seconds > 0:
        raise ValueError(f"{name} must be above 0 seconds, found {seconds}")
    return seconds


def short_text(name: str, text: str) -> str:
    """Raises: ValueError."""
    if not isinstance(text, str) or not 1 <= len(text.strip()) <= len(text) <= 100 or "\0" in text:
        raise ValueError(f"{name} must be a text of 1 to 100 characters")
    return text


def base_url(endpoint: str) -> str:
    """The edge's address; one that names the route of single events, as older clients were given, means the same edge.

    Raises: ValueError.
    """
    try:
        url = httpx.URL(endpoint)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"endpoint must be an address such as https://events.example.com, found {endpoint!r}")
    return endpoint.rstrip("/").removesuffix("/events").rstrip("/")


def key_headers(write_key: str | None) -> dict[str, str]:
    """Raises: ValueError, which does not repeat the key."""
    if write_key is None:
        return {}
    if not write_key or not write_key.isascii() or not write_key.isprintable() or " " in write_key:
        raise ValueError("write_key must be the key as it was shown, without blanks")
    return {"Authorization": f"Bearer {write_key}"}


def open_store(spool_path: Path | None, tuning: Tuning) -> tuple[Store, int, int]:
    """(store, events recovered, bytes that a crash had left unreadable). Raises: SpoolLockedError, SpoolError."""
    if spool_path is None:
        return MemoryStore(tuning.queue_max_events, tuning.queue_max_bytes), 0, 0
    # Imported where it is used: file locks as the spool needs them are not on every system.
    from ingestion.sdk.spool import SpoolStore

    spool = SpoolStore(spool_path, tuning.queue_max_events, tuning.queue_max_bytes, syncs=tuning.spool_syncs)
    return spool, spool.recovered, spool.cut_bytes
