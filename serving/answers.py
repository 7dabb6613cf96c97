"""Makes one answer: resolves the publication and the range, runs the query, and knows when a client's copy is still good.

What differs between two publications: `serving.publication_diff`, which keeps its answers here.

ETags. With `until` the answer is a pure function of publication, app and parameters, so its strong ETag is their hash and a matching
`If-None-Match` is answered before anything is read. Without `until` the range moves with the clock: the answer is made, and its weak
ETag is the hash of its content without `from` and `to`; it changes exactly when a number, the publication or its time does.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from serving.parameters import RangeParameters
from serving.queries import FAMILY, Provenance, Query
from serving.ranges import TimeRange
from serving.results import AnalyticsAnswer
from serving.snapshots import SnapshotPool
from storage.publications import Publication

MAX_CACHED_BYTES = 256 * 1024


@dataclass(frozen=True)
class Answer:
    """A body with its ETag; `body` is None when the client's copy is still good (304)."""

    body: bytes | None
    etag: str


class AnswerCache:
    """The newest `entries` bodies by ETag. Only answers that are immutable belong here. Thread-safe."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, etag: str) -> bytes | None:
        """The body, if it is kept."""
        with self._lock:
            body = self._bodies.get(etag)
            if body is not None:
                self._bodies.move_to_end(etag)
            return body

    def put(self, etag: str, body: bytes) -> None:
        """Keeps a body that is not too large."""
        if self._entries == 0 or len(body) > MAX_CACHED_BYTES:
            return
        with self._lock:
            self._bodies[etag] = body
            while len(self._bodies) > self._entries:
                self._bodies.popitem(last=False)


class AnswerMaker:
    """Answers queries from the pool. Blocking: call it in a worker thread."""

    def __init__(self, pool: SnapshotPool, *, version: str, cache_entries: int = 256) -> None:
        self._pool = pool
        self._version = version
        self._cache = AnswerCache(cache_entries)

    def answer(
        self,
        query: Query[Any],
        wanted: RangeParameters,
        app_id: str,
        *,
        now: datetime,
        if_none_match: str | None = None,
    ) -> Answer:
        """The answer for one app. `now` ends the range when the client named no end."""
        publication = self._pool.resolve(wanted.publication)
        if wanted.until is None:
            made = self._make(query, wanted, app_id, publication, now)
            etag = f'W/"{_hash(made.model_dump_json(exclude={"from_at", "to_at"}), self._version)}"'
            return Answer(None if matches(if_none_match, etag) else _encode(made), etag)
        until = wanted.until
        parameters = wanted.model_dump_json(exclude={"publication", "app_id"})
        return self.fixed(
            (query.name, identify(publication), app_id, parameters),
            lambda: self._make(query, wanted, app_id, publication, until),
            if_none_match,
        )

    def fixed(self, identity: tuple[str, ...], make: Callable[[], BaseModel], if_none_match: str | None) -> Answer:
        """The answer that these parts determine for ever. Not made for a client that has it, nor while it is in the cache."""
        etag = f'"{_hash(*identity, self._version)}"'
        if matches(if_none_match, etag):
            return Answer(None, etag)
        body = self._cache.get(etag)
        if body is None:
            body = _encode(make())
            self._cache.put(etag, body)
        return Answer(body, etag)

    def _make(
        self,
        query: Query[Any],
        wanted: RangeParameters,
        app_id: str,
        publication: Publication | None,
        to_at: datetime,
    ) -> AnalyticsAnswer:
        time_range = TimeRange.ending(to_at, wanted.hours_back)
        if publication is None:
            return query.shape([], wanted, Provenance(None, None, time_range))
        statement = query.state(wanted, time_range)
        values = {"app_id": app_id, "family": FAMILY, **statement.values}
        rows = self._pool.fetch(publication, statement.sql, values)
        provenance = Provenance(publication.publication_id, publication.published_at, time_range)
        return query.shape(rows, wanted, provenance)


def identify(publication: Publication | None) -> str:
    """What tells a publication from every other one, that of the same number in another lake too."""
    return f"{publication.publication_id}/{publication.snapshot_id}" if publication else "none"


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the header names the ETag, compared weakly as RFC 9110 asks for If-None-Match."""
    if not if_none_match:
        return False
    wanted = etag.removeprefix("W/")
    names = (part.strip() for part in if_none_match.split(","))
    return any(name == "*" or name.removeprefix("W/") == wanted for name in names)


def _encode(answer: BaseModel) -> bytes:
    return answer.model_dump_json(by_alias=True).encode()


def _hash(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]
