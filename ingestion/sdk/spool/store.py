"""The durable store: an index in memory over segments on disk.

Frames are added to the last segment only. A segment goes when none of its events waits and none is older, so that what settles the
events of an old segment is never gone before them. One that is kept by few events is emptied by writing these again, under their own
sequence: of two frames with one sequence the later counts, so a crash in between does no harm.
"""

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ingestion.sdk.errors import SpoolError
from ingestion.sdk.spool.frames import EVENT_OVERHEAD_BYTES, event_frame, settled_frame
from ingestion.sdk.spool.segment import FolderLock, Segment
from ingestion.sdk.stores import Entry, assure_room

_SEGMENT_MAX_BYTES = 4 * 1024 * 1024
_SEGMENTS_AT_BOUND = 8

logger = logging.getLogger("ingestion.sdk")


@dataclass(slots=True)
class _Place:
    segment: Segment
    offset: int
    size_bytes: int


class SpoolStore:
    """A Store in a folder that one process owns. `recovered` events waited in it at its opening."""

    def __init__(self, path: Path, max_events: int, max_bytes: int, *, syncs: bool = False) -> None:
        """Raises: SpoolLockedError, SpoolError."""
        self._path = path
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._segment_max_bytes = min(_SEGMENT_MAX_BYTES, max_bytes // _SEGMENTS_AT_BOUND)
        self._syncs = syncs
        self._index: dict[int, _Place] = {}
        self._segments: deque[Segment] = deque()
        self._unwritten: list[int] = []
        self._next_sequence = 1
        self.cut_bytes = 0
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = FolderLock(path)
        except OSError as error:
            raise SpoolError(f"cannot open the spool {path}: {error.strerror}") from error
        try:
            self._load()
        except OSError as error:
            self.close()
            raise SpoolError(f"cannot read the spool {path}: {error.strerror}") from error
        except SpoolError:
            self.close()
            raise
        self.recovered = len(self._index)

    @property
    def count(self) -> int:
        """See Store."""
        return len(self._index)

    @property
    def size_bytes(self) -> int:
        """What the files take."""
        return sum(segment.size_bytes for segment in self._segments)

    @property
    def first_sequence(self) -> int | None:
        """See Store."""
        return next(iter(self._index), None)

    @property
    def last_sequence(self) -> int | None:
        """See Store."""
        return next(reversed(self._index), None)

    def append(self, raw: bytes) -> int:
        """See Store."""
        self._make_room(len(raw) + EVENT_OVERHEAD_BYTES)
        sequence = self._next_sequence
        self._index[sequence] = self._put(sequence, raw)
        self._next_sequence += 1
        return sequence

    def head(self, max_events: int, max_bytes: int) -> list[Entry]:
        """See Store."""
        chosen: list[Entry] = []
        left_bytes = max_bytes
        for sequence, place in self._index.items():
            left_bytes -= place.size_bytes
            if chosen and (len(chosen) >= max_events or left_bytes < 0):
                break
            chosen.append(Entry(sequence, place.segment.read(place.offset, place.size_bytes)))
        return chosen

    def remove(self, sequences: Iterable[int]) -> set[int]:
        """See Store. When the disk does not take the note, it is written with the next one; until then a restart sends again."""
        removed = {sequence for sequence in sequences if sequence in self._index}
        for sequence in removed:
            _forget(self._index.pop(sequence))
        self._unwritten += removed
        try:
            if self._index:
                self._write_settled()
            self._drop_segments()
        except (SpoolError, OSError) as error:
            logger.warning("spool could not note what was settled: path=%s error=%s", self._path, error)
        return removed

    def close(self) -> None:
        """See Store."""
        for segment in self._segments:
            segment.close()
        self._segments.clear()
        self._lock.release()

    def _load(self) -> None:
        numbers = sorted(int(path.stem) for path in self._path.glob("*.log") if path.stem.isdecimal())
        settled: list[tuple[int, int]] = []
        for number in numbers or [1]:
            segment = Segment(self._path / f"{number:08d}.log", syncs=self._syncs)
            self._segments.append(segment)
            size_bytes = segment.size_bytes
            found = segment.scan()
            self.cut_bytes += size_bytes - segment.size_bytes
            settled += found.settled
            for event in found.events:
                if (older := self._index.pop(event.sequence, None)) is not None:
                    _forget(older)
                self._index[event.sequence] = _note(segment, event.offset, event.size_bytes)
        highest = max([*self._index, *(last for _, last in settled)], default=0)
        for first, last in settled:
            for sequence in range(first, last + 1):
                if (place := self._index.pop(sequence, None)) is not None:
                    _forget(place)
        self._index = dict(sorted(self._index.items()))
        self._next_sequence = highest + 1
        self._drop_segments()
        if self.cut_bytes:
            logger.warning("spool had an unreadable end, cut off: path=%s bytes=%d", self._path, self.cut_bytes)

    def _put(self, sequence: int, raw: bytes) -> _Place:
        frame = event_frame(sequence, raw)
        offset = self._last_segment(len(frame)).write(frame)
        return _note(self._segments[-1], offset + EVENT_OVERHEAD_BYTES, len(raw))

    def _last_segment(self, size_bytes: int) -> Segment:
        last = self._segments[-1]
        if last.is_blank or last.size_bytes + size_bytes <= self._segment_max_bytes:
            return last
        try:
            segment = Segment(self._path / f"{int(last.path.stem) + 1:08d}.log", syncs=self._syncs)
        except OSError as error:
            raise SpoolError(f"cannot make a segment in {self._path}: {error.strerror}") from error
        self._segments.append(segment)
        return segment

    def _make_room(self, size_bytes: int) -> None:
        """Raises: QueueFullError."""
        while self.size_bytes + size_bytes > self._max_bytes and len(self._segments) > 1:
            oldest = self._segments[0]
            if oldest.live_bytes * 2 > oldest.size_bytes:
                break
            for sequence, place in list(self._index.items()):
                if place.segment is oldest:
                    self._index[sequence] = self._put(sequence, oldest.read(place.offset, place.size_bytes))
                    _forget(place)
            self._drop_segments()
        assure_room(len(self._index), self._max_events, self.size_bytes, size_bytes, self._max_bytes)

    def _write_settled(self) -> None:
        if self._unwritten:
            self._segments[-1].write(settled_frame(self._unwritten))
            self._unwritten.clear()

    def _drop_segments(self) -> None:
        while len(self._segments) > 1 and self._segments[0].live == 0:
            self._segments.popleft().delete()
        if not self._index:
            self._segments[-1].empty()
            self._unwritten.clear()


def _note(segment: Segment, offset: int, size_bytes: int) -> _Place:
    segment.live += 1
    segment.live_bytes += size_bytes + EVENT_OVERHEAD_BYTES
    return _Place(segment, offset, size_bytes)


def _forget(place: _Place) -> None:
    place.segment.live -= 1
    place.segment.live_bytes -= place.size_bytes + EVENT_OVERHEAD_BYTES
