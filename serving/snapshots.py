"""The pool of open publications: one DuckDB instance with the lake attached read-only, once per publication that is being read.

A snapshot is immutable, so whatever is published or expired meanwhile, an attachment answers the same. A request leases a cursor of its
own; attachments that nobody leases are detached, least recently used first, except the newest publication's. A failed query costs its
attachment: the next try opens a new one, so a restarted PostgreSQL heals without an operator. Which publication is the newest is learnt
by a thread that asks the catalog a few times per second and opens the new one before readers are sent to it; it never goes back.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import duckdb
import structlog

from serving.catalog import PublicationCatalog
from serving.errors import ExpiredPublicationError, ServingError, UnavailableError, UnknownPublicationError
from storage.duckdb_session import configure, connect_in_memory, load_extensions
from storage.lake import attach
from storage.publications import Publication
from storage.settings import StorageSettings

EXTENSIONS = ("ducklake", "postgres")
ATTEMPTS = 2
CONNECT_TIMEOUT_SECONDS = 5
log = structlog.get_logger(__name__)

Row = tuple[Any, ...]
T = TypeVar("T")


def with_connect_timeout(database_url: str) -> str:
    """The URL with a connect timeout: an unreachable host must not hold a worker for minutes."""
    if "connect_timeout" in database_url or not database_url.startswith(("postgresql://", "postgres://")):
        return database_url
    return f"{database_url}{'&' if '?' in database_url else '?'}connect_timeout={CONNECT_TIMEOUT_SECONDS}"


@dataclass(eq=False)
class _Attachment:
    """A publication opened under `alias`. `idle` holds cursors that have it as their default catalog."""

    publication: Publication
    alias: str
    idle: list[duckdb.DuckDBPyConnection] = field(default_factory=list)
    leases: int = 0
    is_retired: bool = False


@dataclass(frozen=True, eq=False)
class _Running:
    cursor: duckdb.DuckDBPyConnection
    deadline: float


class SnapshotPool:
    """Opens publications and runs queries on them. Thread-safe. `start` it before and `close` it after use."""

    def __init__(
        self,
        storage: StorageSettings,
        catalog: PublicationCatalog,
        *,
        capacity: int = 4,
        poll_seconds: float = 0.25,
        query_timeout_seconds: float = 30.0,
        probe_sql: str = "select 1",
        on_switch: Callable[[Publication], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage.model_copy(update={"database_url": with_connect_timeout(storage.database_url)})
        self._catalog = catalog
        self._capacity = capacity
        self._poll_seconds = poll_seconds
        self._query_timeout_seconds = query_timeout_seconds
        self._probe_sql = probe_sql
        self._on_switch = on_switch
        self._clock = clock
        self._lock = threading.Lock()
        self._attach_lock = threading.Lock()
        self._attachments: OrderedDict[int, _Attachment] = OrderedDict()
        self._running: set[_Running] = set()
        self._newest: Publication | None = None
        self._was_asked = False
        self._attached_count = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._root = connect_in_memory()

    def start(self) -> None:
        """Prepares DuckDB and starts looking for publications. Works with database and lake down: it keeps trying."""
        configure(self._root, self._storage)
        self._root.execute("SET parquet_metadata_cache=true")
        load_extensions(self._root, self._storage, EXTENSIONS)
        self._thread = threading.Thread(target=self._watch, name="publication-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the thread and closes DuckDB. Running queries are interrupted."""
        self._stopping.set()
        if self._thread:
            self._thread.join(timeout=5)
        with self._lock:
            for running in self._running:
                running.cursor.interrupt()
        self._root.close()

    def newest(self) -> Publication | None:
        """The newest publication seen, None before the first. It never goes back."""
        if not self._was_asked:
            self.refresh()
        return self._newest

    def resolve(self, publication_id: int | None) -> Publication | None:
        """The publication to read: the newest (None before the first), or that one.

        Raises:
            UnknownPublicationError: there is no such publication yet.
            ExpiredPublicationError: there was, but it is not kept.
        """
        newest = self.newest()
        if publication_id is None:
            return newest
        if newest is None or publication_id > newest.publication_id:
            self.refresh()
            newest = self._newest
        if newest is None or publication_id > newest.publication_id:
            known = f"the newest is {newest.publication_id}" if newest else "nothing is published yet"
            raise UnknownPublicationError(f"Publication {publication_id} does not exist: {known}.")
        if publication_id == newest.publication_id:
            return newest
        with self._lock:
            attached = self._attachments.get(publication_id)
        if attached:
            return attached.publication
        found = self._catalog.find(publication_id)
        if found is None:
            raise self._expired(publication_id)
        return found

    def fetch(self, publication: Publication, sql: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """The rows of one query on one publication. Raises: as `read`."""

        def work(cursor: duckdb.DuckDBPyConnection, _: Sequence[str]) -> Sequence[Row]:
            rows: Sequence[Row] = cursor.execute(sql, dict(parameters)).fetchall()
            return rows

        return self.read([publication], work)

    def read(self, publications: Sequence[Publication], work: Callable[[duckdb.DuckDBPyConnection, list[str]], T]) -> T:
        """What `work` makes of publications that are open at once.

        It gets a cursor whose default catalog is the first one's, and the names of their catalogs. It may be called again from the start.

        Raises:
            UnavailableError: the lake cannot be read now, or the work took too long.
            ExpiredPublicationError: a snapshot expired meanwhile.
        """
        for attempt in range(1, ATTEMPTS + 1):
            leases: list[tuple[_Attachment, duckdb.DuckDBPyConnection]] = []
            is_reusable = False
            try:
                for publication in publications:
                    leases.append(self._lease(publication))
                found = self._execute(leases[0][1], work, [attachment.alias for attachment, _ in leases])
                is_reusable = True
                return found
            except duckdb.InterruptException as error:
                raise UnavailableError(f"The query ran longer than {self._query_timeout_seconds:g} s.") from error
            except duckdb.Error as error:
                for attachment, _ in leases:
                    self._discard(attachment)
                ids = [publication.publication_id for publication in publications]
                log.warning("lake query failed", publications=ids, attempt=attempt, error=type(error).__name__)
                if attempt == ATTEMPTS:
                    raise self._failure(ids) from error
            finally:
                for attachment, cursor in leases:
                    self._release(attachment, cursor, is_reusable=is_reusable)
        raise AssertionError("unreachable")

    def refresh(self) -> None:
        """Asks the catalog for the newest publication, opens it and then sends readers to it."""
        found = self._catalog.latest()
        known = self._newest
        if found is not None and (known is None or found.publication_id > known.publication_id):
            self._open_ahead(found)
            with self._lock:
                current = self._newest
                is_newer = current is None or found.publication_id > current.publication_id
                if is_newer:
                    self._newest = found
            if is_newer:
                log.info("publication opened", publication=found.publication_id, snapshot=found.snapshot_id)
                if self._on_switch:
                    self._on_switch(found)
        self._was_asked = True

    @property
    def newest_seen(self) -> Publication | None:
        """Like `newest`, without ever asking the catalog."""
        return self._newest

    @property
    def attached_ids(self) -> tuple[int, ...]:
        """Publications that are open, least recently used first."""
        with self._lock:
            return tuple(self._attachments)

    def _open_ahead(self, publication: Publication) -> None:
        """Opens and warms it, so that no reader pays for that. A failure is left to the readers, who try again and report it."""
        try:
            self.fetch(publication, self._probe_sql, {})
        except ServingError as error:
            log.warning("publication not opened ahead", publication=publication.publication_id, error=str(error))

    def _expired(self, publication_id: int) -> ExpiredPublicationError:
        nearest = self._catalog.nearest_kept(publication_id)
        return ExpiredPublicationError(publication_id, nearest.publication_id if nearest else None)

    def _watch(self) -> None:
        was_reachable = True
        while not self._stopping.is_set():
            # The watch must outlive anything, a log that cannot be written included: without it readers stay where they are for ever.
            with suppress(Exception):
                self._interrupt_overdue()
            with suppress(Exception):
                was_reachable = self._look(was_reachable)
            self._stopping.wait(self._poll_seconds)

    def _look(self, was_reachable: bool) -> bool:
        """One look for a newer publication; whether the catalog could be reached."""
        try:
            self.refresh()
            is_reachable = True
        except ServingError:
            is_reachable = False
        except Exception:
            is_reachable = False
            log.exception("publication watch failed")
        if is_reachable != was_reachable:
            log.warning("publication catalog", is_reachable=is_reachable)
        return is_reachable

    def _interrupt_overdue(self) -> None:
        now = self._clock()
        with self._lock:
            for running in self._running:
                if running.deadline < now:
                    running.cursor.interrupt()

    def _failure(self, publication_ids: Sequence[int]) -> ServingError:
        """Why the lake could not be read: a snapshot is gone, or it is away."""
        for publication_id in publication_ids:
            if self._catalog.find(publication_id) is None:
                return self._expired(publication_id)
        return UnavailableError("The lake cannot be read at the moment. Try again shortly.")

    def _execute(
        self,
        cursor: duckdb.DuckDBPyConnection,
        work: Callable[[duckdb.DuckDBPyConnection, list[str]], T],
        catalogs: list[str],
    ) -> T:
        """The result of `work`, which is interrupted when it takes too long."""
        running = _Running(cursor, self._clock() + self._query_timeout_seconds)
        with self._lock:
            self._running.add(running)
        try:
            return work(cursor, catalogs)
        finally:
            with self._lock:
                self._running.discard(running)

    def _lease(self, publication: Publication) -> tuple[_Attachment, duckdb.DuckDBPyConnection]:
        attachment = self._take(publication.publication_id)
        if attachment is None:
            with self._attach_lock:
                attachment = self._take(publication.publication_id) or self._attach(publication)
        with self._lock:
            if attachment.idle:
                return attachment, attachment.idle.pop()
            cursor = self._root.cursor()
        try:
            cursor.execute(f"USE {attachment.alias}")
        except duckdb.Error:
            self._release(attachment, cursor, is_reusable=False)
            self._discard(attachment)
            raise
        return attachment, cursor

    def _take(self, publication_id: int) -> _Attachment | None:
        with self._lock:
            attachment = self._attachments.get(publication_id)
            if attachment is not None:
                attachment.leases += 1
                self._attachments.move_to_end(publication_id)
            return attachment

    def _attach(self, publication: Publication) -> _Attachment:
        """A leased new attachment. The alias is never used twice: a broken one may still be in use by others."""
        with self._lock:
            self._attached_count += 1
            alias = f"publication_{publication.publication_id}_{self._attached_count}"
            cursor = self._root.cursor()
        try:
            attach(cursor, self._storage, alias=alias, read_only=True, snapshot_id=publication.snapshot_id)
        finally:
            cursor.close()
        attachment = _Attachment(publication, alias, leases=1)
        with self._lock:
            self._attachments[publication.publication_id] = attachment
            unused = self._evict()
        for old in unused:
            self._detach(old)
        return attachment

    def _evict(self) -> list[_Attachment]:
        """Retires attachments beyond the capacity, never the newest publication's; returns those that can be detached now."""
        unused: list[_Attachment] = []
        newest_id = self._newest.publication_id if self._newest else None
        # The one just opened, at the end, stays too: it is about to be read.
        candidates = [key for key in list(self._attachments)[:-1] if key != newest_id]
        for key in candidates[: max(0, len(self._attachments) - self._capacity)]:
            old = self._attachments.pop(key)
            old.is_retired = True
            if old.leases == 0:
                unused.append(old)
        return unused

    def _release(self, attachment: _Attachment, cursor: duckdb.DuckDBPyConnection, *, is_reusable: bool) -> None:
        with self._lock:
            attachment.leases -= 1
            is_unused = attachment.is_retired and attachment.leases == 0
            if is_reusable and not attachment.is_retired:
                attachment.idle.append(cursor)
                cursor_to_close = None
            else:
                cursor_to_close = cursor
        if cursor_to_close is not None:
            cursor_to_close.close()
        if is_unused:
            self._detach(attachment)

    def _discard(self, attachment: _Attachment | None) -> None:
        """Retires a failed attachment, unless another request has replaced it already."""
        if attachment is None:
            return
        with self._lock:
            if attachment.is_retired:
                return
            attachment.is_retired = True
            if self._attachments.get(attachment.publication.publication_id) is attachment:
                del self._attachments[attachment.publication.publication_id]
            is_unused = attachment.leases == 0
        if is_unused:
            self._detach(attachment)

    def _detach(self, attachment: _Attachment) -> None:
        for cursor in attachment.idle:
            cursor.close()
        attachment.idle.clear()
        with self._lock:
            cursor = self._root.cursor()
        try:
            cursor.execute(f"DETACH {attachment.alias}")
        except duckdb.Error as error:
            log.warning("detach failed", publication=attachment.publication.publication_id, error=type(error).__name__)
        finally:
            cursor.close()
