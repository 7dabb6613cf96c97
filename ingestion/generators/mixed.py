"""Several streams as one: a line of each in turn, until all have ended."""

from collections.abc import Iterator, Mapping

from ingestion.generators.stream import GeneratedEvent, SeededStream
from ingestion.generators.truth import MixedTruth


class MixedStream:
    """Iterate once. The rate is that of all lines together."""

    def __init__(self, streams: Mapping[str, SeededStream]) -> None:
        self._streams = dict(streams)

    @property
    def line_count(self) -> int:
        """Lines to expect at most."""
        return sum(stream.line_count for stream in self._streams.values())

    @property
    def rate(self) -> float:
        """Lines per second, 0 for as fast as possible."""
        return sum(stream.rate for stream in self._streams.values())

    def __iter__(self) -> Iterator[GeneratedEvent]:
        turns = [iter(stream) for stream in self._streams.values()]
        while turns:
            for turn in list(turns):
                event = next(turn, None)
                if event is None:
                    turns.remove(turn)
                else:
                    yield event

    def truth(self) -> MixedTruth:
        """The ground truth per family of the lines generated so far."""
        return MixedTruth({name: stream.truth() for name, stream in self._streams.items()})
