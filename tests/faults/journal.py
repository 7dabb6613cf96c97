"""What a client has tried and what it was promised, outside the system: two NDJSON files, each line on the disk before it counts.

`intents.ndjson`: every event before its first request. `receipts.ndjson`: every event after its acknowledgement, in the form that
`tidemark verify --receipts` reads.
"""

import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class Journal:
    """An append-only file of JSON lines, synced once per call. Any thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._handle = path.open("ab")
        self._lock = threading.Lock()

    def write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Returns when the lines are on the disk."""
        text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        with self._lock:
            self._handle.write(text)
            self._handle.flush()
            os.fsync(self._handle.fileno())

    def close(self) -> None:
        """Nothing may be written after it."""
        self._handle.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines, oldest first."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
