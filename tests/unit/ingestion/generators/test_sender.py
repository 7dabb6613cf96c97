"""The sender: everything answered, receipts only for what was acknowledged, the same bytes again for what was not."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ingestion.generators import StreamPlan
from ingestion.generators.sender import SendError, SendTarget, UnreachableError, send_events
from tests.unit.ingestion.builders import NOW

Handler = Callable[[httpx.Request], httpx.Response]
PLAN = StreamPlan(events=50, anchor=NOW, malformed_ratio=0.1, duplicates_ratio=0.1)


def accept(request: httpx.Request) -> httpx.Response:
    lines = request.content.splitlines()
    bad = [index for index, line in enumerate(lines) if not _is_event(line)]
    errors = [{"index": index, "code": "x", "message": "x"} for index in bad]
    body = {"accepted": len(lines) - len(bad), "rejected": len(bad), "errors": errors}
    return httpx.Response(202 if len(bad) < len(lines) else 422, json=body, headers={"X-Tidemark-App": "shop"})


def _is_event(line: bytes) -> bool:
    return line in KNOWN


KNOWN: set[bytes] = set()


@pytest.fixture(autouse=True)
def _known_lines() -> None:
    from ingestion.generators import EngagementStream

    KNOWN.clear()
    KNOWN.update(event.raw for event in EngagementStream(PLAN) if event.kind != "malformed")


def send(handler: Handler, tmp_path: Path, **arguments: object):  # type: ignore[no-untyped-def]  # test shorthand
    return send_events(
        SendTarget("http://edge", "key", patience_seconds=5),
        PLAN,
        batch_size=7,
        receipts_path=tmp_path / "receipts.ndjson",
        truth_path=tmp_path / "truth.json",
        sleep=lambda _: None,
        transport=httpx.MockTransport(handler),
        **arguments,
    )


def test_counts_receipts_and_truth_agree(tmp_path: Path) -> None:
    report = send(accept, tmp_path)
    assert (report.sent, report.accepted, report.rejected) == (50, 45, 5)
    assert (report.truth.accepted, report.truth.rejected) == (45, 5)
    receipts = [json.loads(line) for line in (tmp_path / "receipts.ndjson").read_text().splitlines()]
    assert len(receipts) == 45
    assert {receipt["app_id"] for receipt in receipts} == {"shop"}
    assert json.loads((tmp_path / "truth.json").read_text())["unique_events"] == 40


def test_a_503_and_a_broken_connection_are_answered_by_the_same_bytes_again(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        if len(seen) == 1:
            return httpx.Response(503, json={"retryable": True})
        if len(seen) == 2:
            raise httpx.ReadError("cut")
        return accept(request)

    report = send(handler, tmp_path)
    assert seen[0] == seen[1] == seen[2]
    assert (report.retries, report.sent) == (2, 50)


def test_only_lines_that_were_not_delivered_are_sent_again(tmp_path: Path) -> None:
    sizes: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        lines = request.content.splitlines()
        sizes.append(len(lines))
        if len(sizes) == 1:
            error = {"index": 0, "code": "not_delivered", "message": "", "retryable": True}
            return httpx.Response(202, json={"accepted": 6, "rejected": 1, "errors": [error]})
        return accept(request)

    report = send(handler, tmp_path)
    assert sizes[:2] == [7, 1]
    assert report.sent == 50


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 1000, 3))
    monkeypatch.setattr("ingestion.generators.sender.time.monotonic", lambda: next(times))
    with pytest.raises(UnreachableError):
        send(lambda _: httpx.Response(503, json={}), tmp_path)
    assert (tmp_path / "receipts.ndjson").read_text() == ""


@pytest.mark.parametrize("status", [401, 403, 500])
def test_other_answers_end_it(tmp_path: Path, status: int) -> None:
    with pytest.raises(SendError, match=str(status)):
        send(lambda _: httpx.Response(status, text="no"), tmp_path)


def test_single_events_use_the_single_route(tmp_path: Path) -> None:
    paths: set[str] = set()

    def handler(request: httpx.Request) -> httpx.Response:
        paths.add(request.url.path)
        return httpx.Response(201 if _is_event(request.content) else 422, json={"status": "x"})

    report = send(handler, tmp_path, single=True)
    assert paths == {"/api/v1/events"}
    assert (report.accepted, report.rejected) == (45, 5)
