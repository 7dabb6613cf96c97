"""A topic with a group of one member, and dead letters in memory."""

from collections.abc import Mapping, Sequence

from streaming.hot_store.dead_letters import DeadLetter, DeadLetterError
from streaming.hot_store.records import Record


class MemorySource:
    """See RecordSource. `stop_when_empty` is called when nothing is left to read."""

    def __init__(self, records: Sequence[Record], batch: int = 100, partitions: Sequence[int] = (0, 1, 2, 3)) -> None:
        self.records = list(records)
        self.partitions = frozenset(partitions)
        self.committed: dict[int, int] = {}
        self.commits: list[dict[int, int]] = []
        self.is_held = False
        self.holds = 0
        self.refused_commits = 0
        self.on_empty = lambda: None
        self.on_hold = lambda: None
        self._batch = batch
        self._unhandled_count = 0

    def poll(self, timeout_seconds: float) -> list[Record]:
        found, self.records = self.records[: self._batch], self.records[self._batch :]
        self._unhandled_count += len(found)
        if not found:
            self.on_empty()
        return found

    def hold(self, timeout_seconds: float) -> list[Record]:
        self.is_held, self.holds = True, self.holds + 1
        self.on_hold()
        return []

    def resume(self) -> None:
        self.is_held = False

    def assigned(self) -> frozenset[int]:
        return self.partitions

    def commit(self, ends: Mapping[int, int]) -> bool:
        self.commits.append(dict(ends))
        if self.refused_commits:
            self.refused_commits -= 1
            return False
        self.committed.update(ends)
        self._unhandled_count = 0
        return True

    def lag(self) -> int:
        return len(self.records) + self._unhandled_count

    def close(self) -> None:
        pass


class MemoryDeadLetters:
    """See DeadLetters."""

    def __init__(self) -> None:
        self.available = True
        self.letters: list[DeadLetter] = []

    def send(self, letters: Sequence[DeadLetter]) -> None:
        if not self.available:
            raise DeadLetterError("made unavailable")
        self.letters += letters

    def close(self) -> None:
        pass
