"""Which date a compactor turns to next."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, cast

import pytest

from storage.bronze_files import BronzeFile
from storage.settings import StorageSettings
from streaming import compaction
from streaming.commit_lock import CommitLock
from streaming.rewrite_transaction import Rewrite
from streaming.settings import StreamingSettings

FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)


class FreeLock:
    """Keeps nobody out, so that every date is the compactor's."""

    keeps_others_out = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        yield


class Rewriter:
    """Notes what it is asked to rewrite; cannot do `broken`."""

    def __init__(self, broken: set[date]) -> None:
        self.broken = broken
        self.asked: list[date] = []

    def rewrite(self, event_date: date, **_: object) -> Rewrite:
        self.asked.append(event_date)
        if event_date in self.broken:
            raise RuntimeError("a file that cannot be read")
        return Rewrite(event_date, 1, 3, 1, 3, 3, 0.0)


@pytest.fixture
def compactor(monkeypatch: pytest.MonkeyPatch) -> compaction.Compactor:
    files = [
        BronzeFile(f"{day}-{number}", day, 1) for day, count in ((FIRST, 5), (SECOND, 4)) for number in range(count)
    ]
    monkeypatch.setattr(compaction, "list_files", lambda _: files)
    return compaction.Compactor(
        cast("Any", None),
        StorageSettings(bronze_uri="file:///bronze"),
        threading.Lock(),
        cast("CommitLock", FreeLock()),
        StreamingSettings(compact_min_files=2),
        now=lambda: datetime(2024, 1, 3, tzinfo=UTC),
    )


def test_a_date_that_fails_does_not_keep_the_others_waiting(
    compactor: compaction.Compactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewriter = Rewriter({FIRST})
    monkeypatch.setattr(compactor, "_rewriter", rewriter)

    with pytest.raises(RuntimeError):
        compactor.compact_once()
    assert compactor.compact_once() is not None
    assert rewriter.asked == [FIRST, SECOND]


def test_dates_that_failed_are_tried_again_when_all_had_their_turn(
    compactor: compaction.Compactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewriter = Rewriter({FIRST, SECOND})
    monkeypatch.setattr(compactor, "_rewriter", rewriter)

    for _ in range(3):
        with pytest.raises(RuntimeError):
            compactor.compact_once()
    assert rewriter.asked == [FIRST, SECOND, FIRST]
