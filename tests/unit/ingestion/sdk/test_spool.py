"""The spool: what was appended is there again after any end of the process, what was settled is not."""

import errno
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.sdk import ClientClosedError, QueueFullError, SpoolError, SpoolLockedError, UnavailableError
from ingestion.sdk.spool import SpoolStore
from ingestion.sdk.spool.frames import MARK, event_frame, scan, settled_frame
from platform_assets.settings import PROJECT_ROOT
from tests.unit.ingestion.sdk.edges import ScriptedEdge, make_client

DOWN = httpx.ConnectError("refused")


def open_spool(path: Path, max_events: int = 10_000, max_bytes: int = 1_000_000, **arguments: Any) -> SpoolStore:
    return SpoolStore(path / "spool", max_events, max_bytes, **arguments)


def raws(spool: SpoolStore) -> list[bytes]:
    return [entry.raw for entry in spool.head(10**6, 10**9)]


def segments(path: Path) -> list[Path]:
    return sorted((path / "spool").glob("*.log"))


@given(st.lists(st.binary(max_size=20), max_size=8), st.sets(st.integers(1, 200), max_size=20))
def test_frames_are_read_as_written(events: list[bytes], settled: set[int]) -> None:
    segment = MARK + b"".join(event_frame(n, raw) for n, raw in enumerate(events)) + settled_frame(settled)
    found = scan(segment)
    assert [segment[event.offset : event.offset + event.size_bytes] for event in found.events] == events
    assert {n for first, last in found.settled for n in range(first, last + 1)} == settled
    assert found.whole_bytes == len(segment)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6), st.data())
def test_whatever_happens_to_the_end_all_frames_before_it_are_read(events: list[bytes], data: st.DataObject) -> None:
    frames = [event_frame(n, raw) for n, raw in enumerate(events)]
    segment = MARK + b"".join(frames)
    cut = data.draw(st.integers(len(MARK), len(segment)))
    tail = data.draw(st.binary(max_size=30))
    whole, end = 0, len(MARK)
    while whole < len(frames) and end + len(frames[whole]) <= cut:
        end += len(frames[whole])
        whole += 1
    found = scan(segment[:cut] + tail)
    assert len(found.events) >= whole
    assert [event.sequence for event in found.events[:whole]] == [*range(whole)]


@pytest.mark.parametrize("at", range(17 + 5))
def test_a_flipped_bit_anywhere_in_a_frame_ends_the_segment_there(at: int) -> None:
    frame = bytearray(event_frame(2, b"event"))
    frame[at] ^= 0x10
    segment = MARK + event_frame(1, b"event") + bytes(frame)
    assert [event.sequence for event in scan(segment).events] == [1]


@pytest.mark.feature("S1-1")
def test_events_are_there_again_in_their_order_without_those_that_were_settled(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    sequences = [spool.append(b"%d" % n) for n in range(10)]
    assert spool.remove([sequences[0], sequences[4], 999]) == {sequences[0], sequences[4]}
    spool.close()
    again = open_spool(tmp_path)
    assert raws(again) == [b"%d" % n for n in range(10) if n not in (0, 4)]
    assert (again.recovered, again.cut_bytes) == (8, 0)
    assert again.append(b"next") > sequences[-1]
    again.close()


def test_a_spool_whose_events_are_all_settled_takes_no_room(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=10_000)
    for _ in range(50):
        spool.remove([spool.append(b"x" * 500) for _ in range(15)])
    assert spool.size_bytes == len(MARK)
    assert len(segments(tmp_path)) == 1
    spool.close()


def test_a_few_old_events_do_not_keep_the_room_of_many(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=20_000)
    stuck = [spool.append(b"stuck %d" % n) for n in range(3)]
    for n in range(500):
        spool.remove([spool.append(b"%04d" % n + b"x" * 300)])
        assert spool.size_bytes <= 20_000
    last = spool.append(b"last")
    assert [entry.sequence for entry in spool.head(10, 10**6)] == [*stuck, last]
    spool.close()
    again = open_spool(tmp_path)
    assert raws(again) == [b"stuck 0", b"stuck 1", b"stuck 2", b"last"]
    again.close()


def test_bounds_of_events_and_of_bytes_on_disk_hold(tmp_path: Path) -> None:
    few = open_spool(tmp_path / "few", max_events=3)
    small = open_spool(tmp_path / "small", max_bytes=5000)
    for spool in (few, small):
        with pytest.raises(QueueFullError):
            for _ in range(100):
                spool.append(b"x" * 100)
    assert few.count == 3
    assert sum(path.stat().st_size for path in segments(tmp_path / "small")) == small.size_bytes <= 5000
    small.remove([entry.sequence for entry in small.head(20, 10**6)])
    small.append(b"x" * 100)
    few.close()
    small.close()


@pytest.mark.feature("S1-1")
def test_a_torn_end_is_cut_off_at_every_byte(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append(b"one")
    spool.append(b"two")
    spool.close()
    (segment,) = segments(tmp_path)
    whole = segment.read_bytes()
    second_starts = len(MARK) + len(event_frame(1, b"one"))
    for length in range(len(whole)):
        segment.write_bytes(whole[:length])
        again = open_spool(tmp_path)
        assert raws(again) == ([b"one"] if length >= second_starts else [])
        assert again.cut_bytes == (max(0, length - len(MARK)) if length < second_starts else length - second_starts)
        again.append(b"three")
        again.close()
        once_more = open_spool(tmp_path)
        assert raws(once_more)[-1] == b"three"
        once_more.close()


def test_damage_in_an_old_segment_costs_no_more_than_its_rest(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=8000)
    for n in range(30):
        spool.append(b"%02d" % n + b"x" * 200)
    spool.close()
    damaged = segments(tmp_path)[1]
    content = bytearray(damaged.read_bytes())
    content[len(MARK) + 30] ^= 1
    damaged.write_bytes(content)
    again = open_spool(tmp_path, max_bytes=8000)
    numbers = [int(raw[:2]) for raw in raws(again)]
    assert numbers == sorted(numbers)
    assert 24 <= len(numbers) < 30
    assert {0, 1, 2, 28, 29} <= set(numbers)
    again.close()


def test_files_that_are_no_segments_are_refused_or_left_alone(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "notes.log").write_text("mine")
    open_spool(tmp_path).close()
    (tmp_path / "spool" / "00000001.log").write_text("not a segment at all")
    with pytest.raises(SpoolError, match="not a spool's segment"):
        open_spool(tmp_path)
    assert (tmp_path / "spool" / "00000001.log").read_text() == "not a segment at all"
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="cannot open"):
        SpoolStore(tmp_path / "file", 1, 1)


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    open_spool(tmp_path).close()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "spool").iterdir()} == {0o600}
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("how", ["refused", "half"])
def test_a_disk_that_is_full_refuses_the_event_and_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    spool = open_spool(tmp_path)
    spool.append(b"before")
    real = os.pwrite

    def full(file: int, frame: bytes, offset: int) -> int:
        if how == "refused":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, frame[: len(frame) // 2], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        if how == "half":  # the rest cannot even be cut off
            patch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "io")))
        with pytest.raises(SpoolError, match="cannot write"):
            spool.append(b"refused, and longer than what comes afterwards")
        assert spool.count == 1
    spool.append(b"after")
    assert raws(spool) == [b"before", b"after"]
    spool.close()
    again = open_spool(tmp_path)
    assert raws(again) == [b"before", b"after"]
    again.close()


def test_what_was_settled_while_the_disk_was_full_is_noted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool(tmp_path)
    one, two, _ = (spool.append(raw) for raw in (b"one", b"two", b"three"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        spool.remove([one])
        assert "could not note" in caplog.text
    spool.remove([two])
    spool.close()
    again = open_spool(tmp_path)
    assert raws(again) == [b"three"]
    again.close()


def test_waiting_for_the_disk_is_a_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    for syncs in (False, True):
        spool = open_spool(tmp_path / str(syncs), syncs=syncs)
        before = len(synced)
        spool.append(b"one")
        assert len(synced) - before == syncs
        spool.close()


@pytest.mark.feature("S1-1")
def test_one_process_owns_a_spool(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    with pytest.raises(SpoolLockedError, match=f"in use by process {os.getpid()}"):
        open_spool(tmp_path)
    script = "import sys; from pathlib import Path; from ingestion.sdk.spool import SpoolStore; SpoolStore(Path(sys.argv[1]), 1, 1)"
    argv = [sys.executable, "-c", script, str(tmp_path / "spool")]
    other = subprocess.run(argv, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert f"SpoolLockedError: the spool {tmp_path / 'spool'} is in use by process {os.getpid()}" in other.stderr
    spool.append(b"one")
    spool.close()
    again = open_spool(tmp_path)
    assert raws(again) == [b"one"]
    again.close()


@pytest.mark.feature("S1-1")
def test_a_client_sends_what_an_earlier_one_left_under_the_same_ids(tmp_path: Path) -> None:
    down = ScriptedEdge(*[DOWN] * 100)
    first = make_client(down, spool_path=tmp_path, mode="each", sleep=None, timeout=0.2)
    for _ in range(3):
        with pytest.raises(UnavailableError) as late:
            first.track("u1", "page_view")
        assert late.value.is_kept
    stats = first.close(0)
    assert (stats.pending, stats.abandoned) == (3, 0)
    left = [event["event_id"] for event in down.batches[-1]]

    edge = ScriptedEdge()
    second = make_client(edge, spool_path=tmp_path)
    assert second.stats().recovered == 3
    fresh = second.track("u1", "page_view")
    second.flush()
    assert edge.ids == [*left, fresh]
    assert second.close().accepted == 4
    third = make_client(ScriptedEdge(), spool_path=tmp_path)
    assert third.close().recovered == 0


def test_a_late_answer_does_not_touch_files_that_were_closed(tmp_path: Path) -> None:
    client = make_client(ScriptedEdge(), spool_path=tmp_path)
    client.track("u1", "page_view")
    outbox = client._delivery.outbox
    (entry,) = outbox.head(10, 10**6)
    outbox.close(abandons=False)
    outbox.settle([entry.sequence], {})
    assert client.stats().pending == 1
    with pytest.raises(ClientClosedError, match="1 events stay in its spool"):
        client.flush()
    with pytest.raises(ClientClosedError):
        client.track("u1", "page_view")
    client.close()


def test_random_use_agrees_with_a_dictionary(tmp_path: Path) -> None:
    chance = random.Random(7)
    spool = open_spool(tmp_path, max_bytes=6000)
    model: dict[int, bytes] = {}
    for step in range(1500):
        if chance.random() < 0.55:
            raw = b"%d" % step + b"x" * chance.randrange(300)
            try:
                model[spool.append(raw)] = raw
            except QueueFullError:
                spool.remove([*model][:5])
                for sequence in [*model][:5]:
                    del model[sequence]
        elif model:
            gone = chance.sample([*model], min(len(model), chance.randrange(4)))
            assert spool.remove(gone) == set(gone)
            for sequence in gone:
                del model[sequence]
        if chance.random() < 0.05:
            spool.close()
            spool = open_spool(tmp_path, max_bytes=6000)
        assert [(entry.sequence, entry.raw) for entry in spool.head(10**6, 10**9)] == [*model.items()]
    spool.close()
