"""A stream as newline-delimited JSON in a file instead of at the API, or only counted."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from ingestion.generators.sender import write_truth
from ingestion.generators.stream import EventStream
from ingestion.generators.truth import Truth


@dataclass(frozen=True)
class LinesReport:
    """What was generated. `sha256` is of all lines with their line ends: the same for the same seed and anchor."""

    lines: int
    size_bytes: int
    sha256: str
    out: str | None
    truth: Truth

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the truth's totals but not its cells."""
        return {
            "lines": self.lines,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "out": self.out,
            "truth": self.truth.summary(),
        }


def write_lines(
    stream: EventStream, out: IO[bytes] | None, *, name: str | None = None, truth_path: Path | None = None
) -> LinesReport:
    """Generates the whole stream, into `out` when there is one; `name` is what the report calls it."""
    digest, lines, size_bytes = sha256(), 0, 0
    for event in stream:
        line = event.raw + b"\n"
        digest.update(line)
        lines += 1
        size_bytes += len(line)
        if out is not None:
            out.write(line)
    truth = stream.truth()
    write_truth(truth, truth_path)
    return LinesReport(lines, size_bytes, digest.hexdigest(), name, truth)
