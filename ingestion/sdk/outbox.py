"""What waits, and what became of everything that ever waited: one store, one lock, one set of counters.

For every moment: `tracked + recovered == accepted + rejected + abandoned + pending`. Sends nothing.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingestion.sdk.errors import ClientClosedError, QueueFullError
from ingestion.sdk.stores import Entry, Store


@dataclass(frozen=True)
class Stats:
    """Counts since the client was made."""

    tracked: int = 0
    """Events taken."""
    recovered: int = 0
    """Events that an earlier process left in the spool."""
    accepted: int = 0
    """Acknowledged by the edge."""
    rejected: int = 0
    """Refused by the edge for good."""
    rejected_by_code: Mapping[str, int] = field(default_factory=dict)
    """The same by the edge's reason."""
    abandoned: int = 0
    """Given up, and said so: at `close` without a spool, or by an error of a synchronous `track`."""
    pending: int = 0
    """Waiting."""
    pending_bytes: int = 0
    """What they take of `queue_max_bytes`."""
    overflowed: int = 0
    """Events not taken, because the queue was at its bound."""
    requests: int = 0
    """Requests sent."""
    retries: int = 0
    """Those that sent again what was not acknowledged."""
    sent_bytes: int = 0
    """Bodies as sent, packed."""
    spool_cut_bytes: int = 0
    """What a crash had left unreadable at the end of the spool."""


class Outbox:
    """Events on their way. For several threads; `changed` is notified when something was added or settled."""

    def __init__(self, store: Store, recovered: int = 0) -> None:
        self.changed = threading.Condition()
        self._store = store
        self._recovered = recovered
        self._is_closed = False
        self._last_count = self._last_bytes = 0
        self._tracked = self._accepted = self._abandoned = self._overflowed = 0
        self._rejected: Counter[str] = Counter()

    def put(self, raw: bytes, wake_at: int = 1) -> int:
        """The event's sequence. Wakes who waits when it is the first or `wake_at` wait. Raises: QueueFullError, SpoolError."""
        with self.changed:
            if self._is_closed:
                raise ClientClosedError("the client is closed")
            try:
                sequence = self._store.append(raw)
            except QueueFullError:
                self._overflowed += 1
                raise
            self._tracked += 1
            count = self._store.count
            if count == 1 or count == wake_at:
                self.changed.notify_all()
            return sequence

    def head(self, max_events: int, max_bytes: int) -> list[Entry]:
        """The oldest events. Raises: SpoolError."""
        with self.changed:
            return [] if self._is_closed else self._store.head(max_events, max_bytes)

    def settle(self, accepted: Sequence[int], rejected: Mapping[int, str]) -> None:
        """Forgets what the edge gave a verdict on: sequences, and sequence → code."""
        with self.changed:
            if self._is_closed:
                return  # the answer came too late: what a spool keeps is sent again by the next process
            removed = self._store.remove([*accepted, *rejected])
            self._accepted += len(removed.intersection(accepted))
            self._rejected.update(code for sequence, code in rejected.items() if sequence in removed)
            self.changed.notify_all()

    def abandon(self, sequences: Sequence[int]) -> int:
        """Gives events up; how many of them waited."""
        with self.changed:
            count = len(self._store.remove(sequences))
            self._abandoned += count
            self.changed.notify_all()
            return count

    @property
    def pending(self) -> int:
        """How many wait."""
        with self.changed:
            return self._store.count

    @property
    def last_sequence(self) -> int | None:
        """The newest that waits."""
        with self.changed:
            return self._store.last_sequence

    def holds_up_to(self, sequence: int) -> bool:
        """True while an event of this sequence or an older one waits. Raises: ClientClosedError when it would wait for ever."""
        with self.changed:
            first = self._store.first_sequence
            if first is None or first > sequence:
                return False
            if self._is_closed:
                raise ClientClosedError(f"the client was closed; {self._last_count} events stay in its spool")
            return True

    def stats(self) -> Stats:
        """The counts at one moment, without what concerns requests."""
        with self.changed:
            return Stats(
                tracked=self._tracked,
                recovered=self._recovered,
                accepted=self._accepted,
                rejected=self._rejected.total(),
                rejected_by_code=dict(self._rejected),
                abandoned=self._abandoned,
                pending=self._last_count if self._is_closed else self._store.count,
                pending_bytes=self._last_bytes if self._is_closed else self._store.size_bytes,
                overflowed=self._overflowed,
            )

    def disown(self) -> None:
        """As `close`, but without the lock, which nobody can give back in a forked child."""
        self._shut()

    def close(self, *, abandons: bool) -> list[Entry]:
        """What is given up with `abandons`. Takes and settles nothing more; counts stay as they are. Lets go of the store's files."""
        with self.changed:
            if self._is_closed:
                return []
            left = self._store.head(self._store.count, 2**62) if abandons else []
            self._abandoned += len(self._store.remove(entry.sequence for entry in left))
            self._shut()
            self.changed.notify_all()
            return left

    def _shut(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._last_count, self._last_bytes = self._store.count, self._store.size_bytes
            self._store.close()
