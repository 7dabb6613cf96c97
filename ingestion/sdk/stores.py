"""Where events wait until the edge acknowledged them: the protocol, and the store in memory.

Stores are not for several threads at once: the outbox holds its lock around every call. The durable one is the package `spool`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ingestion.sdk.errors import QueueFullError, SpoolError


@dataclass(frozen=True, slots=True)
class Entry:
    """One waiting event. Sequences grow in the order of `append`."""

    sequence: int
    raw: bytes


class Store(Protocol):
    """A bounded queue that gives events out until they are removed."""

    @property
    def count(self) -> int:
        """Events that wait."""
        ...

    @property
    def size_bytes(self) -> int:
        """What they take of the bound."""
        ...

    @property
    def first_sequence(self) -> int | None:
        """The oldest event's, None when none waits."""
        ...

    @property
    def last_sequence(self) -> int | None:
        """The newest event's, None when none waits."""
        ...

    def append(self, raw: bytes) -> int:
        """The sequence of the event, which is kept from here on. Raises: QueueFullError, SpoolError; then it is not kept."""
        ...

    def head(self, max_events: int, max_bytes: int) -> list[Entry]:
        """The oldest events, at least one when any waits. Raises: SpoolError."""
        ...

    def remove(self, sequences: Iterable[int]) -> set[int]:
        """Forgets events; those that were there."""
        ...

    def close(self) -> None:
        """Lets go of files."""
        ...


def assure_room(count: int, max_events: int, used_bytes: int, size_bytes: int, max_bytes: int) -> None:
    """Raises: QueueFullError when one event of `size_bytes` more would be beyond a bound."""
    if count >= max_events:
        raise QueueFullError(f"{count} events wait already, at most {max_events} may; is the edge reachable?")
    if used_bytes + size_bytes > max_bytes:
        raise QueueFullError(f"{used_bytes} of {max_bytes} bytes are used, {size_bytes} more asked for")


class MemoryStore:
    """Events in memory: gone with the process."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._entries: dict[int, bytes] = {}
        self._size_bytes = 0
        self._next_sequence = 1

    @property
    def count(self) -> int:
        """See Store."""
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """See Store."""
        return self._size_bytes

    @property
    def first_sequence(self) -> int | None:
        """See Store."""
        return next(iter(self._entries), None)

    @property
    def last_sequence(self) -> int | None:
        """See Store."""
        return next(reversed(self._entries), None)

    def append(self, raw: bytes) -> int:
        """See Store."""
        assure_room(len(self._entries), self._max_events, self._size_bytes, len(raw), self._max_bytes)
        sequence = self._next_sequence
        self._next_sequence += 1
        self._entries[sequence] = raw
        self._size_bytes += len(raw)
        return sequence

    def head(self, max_events: int, max_bytes: int) -> list[Entry]:
        """See Store."""
        chosen: list[Entry] = []
        left_bytes = max_bytes
        for sequence, raw in self._entries.items():
            left_bytes -= len(raw)
            if chosen and (len(chosen) >= max_events or left_bytes < 0):
                break
            chosen.append(Entry(sequence, raw))
        return chosen

    def remove(self, sequences: Iterable[int]) -> set[int]:
        """See Store."""
        removed = {sequence for sequence in sequences if sequence in self._entries}
        for sequence in removed:
            self._size_bytes -= len(self._entries.pop(sequence))
        return removed

    def close(self) -> None:
        """See Store."""


class ForeignStore(MemoryStore):
    """In a forked child, in the place of a spool that its parent goes on using. Takes nothing."""

    def __init__(self, path: str) -> None:
        super().__init__(1, 1)
        self._path = path

    def append(self, raw: bytes) -> int:  # noqa: ARG002 - the protocol's signature
        """Raises: SpoolError."""
        raise SpoolError(f"the spool {self._path} is the parent process's; make the client after the fork")
