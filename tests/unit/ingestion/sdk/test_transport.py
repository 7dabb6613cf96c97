"""What an answer of the edge means for each event."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from ingestion.contracts.clocks import format_utc
from ingestion.sdk.transport import EdgeTransport, NoVerdict, Trouble, Verdicts
from tests.unit.ingestion.builders import NOW
from tests.unit.ingestion.sdk.edges import ScriptedEdge, receipt, rejected, undelivered

RAWS = [b'{"event_id":"1"}', b'{"event_id":"2"}', b'{"event_id":"3"}']


def post(answer: httpx.Response | Exception | None, raws: list[bytes] = RAWS, **arguments: Any) -> Any:
    edge = ScriptedEdge(answer)
    http = httpx.Client(base_url="http://edge/base", transport=httpx.MockTransport(edge))
    return EdgeTransport(http, arguments.get("gzip_above_bytes", 1000), lambda: NOW).post(raws), edge


def test_events_go_as_lines_to_the_batch_route_of_the_address() -> None:
    verdicts, edge = post(None)
    assert verdicts == Verdicts()
    assert str(edge.requests[0].url) == "http://edge/base/v1/batch"
    assert edge.requests[0].headers["content-type"] == "application/x-ndjson"
    assert edge.requests[0].content == b"\n".join(RAWS) + b"\n"


def test_large_bodies_are_packed() -> None:
    _, edge = post(None, RAWS * 100)
    assert edge.requests[0].headers["content-encoding"] == "gzip"
    assert len(edge.requests[0].content) < 300
    assert len(edge.batches[0]) == 300


def test_each_line_has_its_own_verdict() -> None:
    verdicts, _ = post(receipt(3, undelivered(0), rejected(2)))
    assert verdicts == Verdicts({2: ("wrong_app", "no")}, frozenset({0}))


def test_all_lines_rejected_is_a_verdict_too() -> None:
    verdicts, _ = post(receipt(3, rejected(0), rejected(1), rejected(2)))
    assert sorted(verdicts.rejected) == [0, 1, 2]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"accepted": 2, "rejected": 0, "errors": []},
        {"accepted": 3, "rejected": 1, "errors": [rejected(0)]},
        {"accepted": 2, "rejected": 1, "errors": []},
        {"accepted": 2, "rejected": 1, "errors": [rejected(3)]},
        {"accepted": 1, "rejected": 2, "errors": [rejected(0), rejected(0)]},
        {"accepted": "3", "rejected": 0, "errors": []},
        [],
    ],
)
def test_a_receipt_that_does_not_add_up_is_not_believed(body: Any) -> None:
    answer, _ = post(httpx.Response(202, json=body))
    assert answer.trouble is Trouble.UNAVAILABLE


@pytest.mark.parametrize("content", [b"<html>", b"\xff", b"[" * 100_000, b""])
def test_a_success_that_was_not_said_by_an_edge_is_not_believed(content: bytes) -> None:
    answer, _ = post(httpx.Response(200, content=content))
    assert answer.trouble is Trouble.UNAVAILABLE


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (httpx.ConnectError("refused"), Trouble.UNAVAILABLE),
        (httpx.ReadTimeout("slow"), Trouble.UNAVAILABLE),
        (httpx.RemoteProtocolError("cut"), Trouble.UNAVAILABLE),
        (httpx.Response(429), Trouble.UNAVAILABLE),
        (httpx.Response(500), Trouble.UNAVAILABLE),
        (httpx.Response(503, json={"code": "unavailable", "retryable": True}), Trouble.UNAVAILABLE),
        (httpx.Response(409, json={"code": "x", "retryable": True}), Trouble.UNAVAILABLE),
        (httpx.Response(301), Trouble.REFUSED),
        (httpx.Response(400, text="plain HTTP was sent to an HTTPS port"), Trouble.REFUSED),
        (httpx.Response(401, json={"code": "wrong_key"}), Trouble.REFUSED),
        (httpx.Response(403, json={"code": "read_key"}), Trouble.REFUSED),
        (httpx.Response(404), Trouble.REFUSED),
        (httpx.Response(415), Trouble.REFUSED),
        (httpx.Response(422, text="somebody else's"), Trouble.REFUSED),
        (httpx.Response(413), Trouble.BODY),
        (httpx.Response(422, json={"code": "batch_too_large"}), Trouble.BODY),
    ],
)
def test_a_failed_request_says_whether_to_wait_to_give_up_or_to_send_less(
    answer: httpx.Response | Exception, trouble: Trouble
) -> None:
    found, _ = post(answer)
    assert isinstance(found, NoVerdict)
    assert found.trouble is trouble


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("86400", 3600.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-3", 0.0),
        ("Sat, 21 Nov 2026 09:30:20 GMT", 20.0),
        ("Sat, 21 Nov 2026 09:29:00 GMT", 0.0),
        ("Sat, 21 Nov 2026 09:30:20 -0000", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    assert format_utc(NOW + timedelta(seconds=20)) == "2026-11-21T09:30:20.000000Z"
    answer, _ = post(httpx.Response(503, headers={"Retry-After": value}))
    assert answer.retry_after_seconds == seconds


def test_messages_name_the_edges_reason_in_either_form() -> None:
    for body in ({"code": "c", "message": "why"}, {"code": "c", "detail": "why"}):
        answer, _ = post(httpx.Response(503, json=body))
        assert (answer.code, answer.message) == ("c", "503 why")
