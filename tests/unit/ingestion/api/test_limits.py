"""Bodies in bounded memory: every limit answers, none falls over."""

import gzip
import zlib
from collections.abc import AsyncIterator

import pytest

from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import EdgeClient, encode, engagement, running_edge

Edge = tuple[EdgeClient, InMemorySink]


def test_a_single_body_beyond_the_limit_is_413(edge: Edge) -> None:
    client, sink = edge
    answer = client.post("/api/v1/events", content=b" " * (1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert sink.records == []


def test_a_chunked_body_without_length_is_413_too() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 1000

    with running_edge(single_body_max_bytes=4096) as (client, _):
        assert client.post("/api/v1/events", content=chunks()).status_code == 413


@pytest.mark.parametrize(
    "packed", [gzip.compress(b"0" * 20_000_000), gzip.compress(b"0" * 1000) * 20_000], ids=["bomb", "members"]
)
def test_unpacking_stops_at_the_ceiling(packed: bytes) -> None:
    with running_edge(unpacked_body_max_bytes=1_000_000) as (client, sink):
        answer = client.post("/v1/batch", content=packed, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert sink.records == []


@pytest.mark.parametrize(
    ("content", "encoding", "status"),
    [
        (gzip.compress(b"{}")[:-4], "gzip", 400),
        (b"not gzip at all", "gzip", 400),
        (gzip.compress(b"{}") + b"trailing", "gzip", 400),
        (zlib.compress(b"{}"), "gzip", 400),
        (b"{}", "br", 415),
        (b"{}", "gzip, gzip", 415),
        (b"", "gzip", 422),
    ],
    ids=["cut", "not gzip", "trailing", "zlib", "brotli", "twice", "empty"],
)
def test_bad_encodings_are_4xx(edge: Edge, content: bytes, encoding: str, status: int) -> None:
    client, _ = edge
    assert client.post("/v1/batch", content=content, headers={"Content-Encoding": encoding}).status_code == status


def test_one_event_too_large_in_a_batch_keeps_its_beginning_only() -> None:
    with running_edge(single_body_max_bytes=2048) as (client, sink):
        large = encode(engagement(note="x" * 5_000_00))
        answer = client.post("/v1/batch", content=encode(engagement()) + b"\n" + large)
        assert answer.status_code == 202
        assert [error["code"] for error in answer.json()["errors"]] == ["body_too_large"]
        assert len(sink.records) == 2


def test_too_many_lines_are_422() -> None:
    with running_edge(ndjson_max_events=3) as (client, sink):
        answer = client.post("/v1/batch", content=b"{}\n" * 4)
        assert (answer.status_code, answer.json()["code"]) == (422, "batch_too_large")
        assert sink.records == []


def test_the_budget_of_all_bodies_is_a_503_and_is_given_back() -> None:
    with running_edge(bodies_max_bytes=1024) as (client, _):
        refused = client.post("/v1/batch", content=b" " * 2000)
        assert (refused.status_code, refused.json()["retryable"]) == (503, True)
        assert client.post("/v1/batch", content=encode(engagement())).status_code == 202
        assert client.post("/v1/batch", content=encode(engagement())).status_code == 202
