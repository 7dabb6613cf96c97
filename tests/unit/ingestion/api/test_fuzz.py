"""Whatever a client sends, the answer is never a 5xx and never an exception, and everything sent is accepted or kept."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.sinks import InMemorySink
from tests.unit.ingestion.builders import EdgeClient, engagement

PATHS = [
    "/api/v1/events",
    "/events",
    "/v1/events/engagement",
    "/v1/events/generic",
    "/api/v1/events/batch",
    "/v1/batch",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["view", "web", "2026-11-21T00:00:00Z"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*engagement(), "payload", "timestamp", "metadata", "event_ts", "content_id", "x"])
events = st.dictionaries(names, values, max_size=8)
bodies = st.one_of(
    st.binary(max_size=60),
    values.map(lambda value: json.dumps(value).encode()),
    events.map(lambda event: json.dumps(event).encode()),
    events.map(
        lambda event: json.dumps({**engagement(), **event}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ),
    st.lists(events, max_size=4).map(lambda batch: json.dumps({"events": batch}).encode()),
    st.lists(events, max_size=4).map(lambda batch: "\n".join(map(json.dumps, batch)).encode()),
)


@pytest.mark.feature("S0-3")
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), body=bodies)
def test_no_body_is_a_server_error_and_nothing_is_lost(
    edge: tuple[EdgeClient, InMemorySink], path: str, body: bytes
) -> None:
    client, sink = edge
    sink.records.clear()
    answer = client.post(path, content=body)
    assert answer.status_code in (201, 202, 422)
    accepted = [record for record in sink.records if record.topic == "events.raw.v1"]
    told = answer.json()
    if path == "/v1/batch" and "accepted" in told:
        assert (told["accepted"], told["rejected"]) == (len(accepted), len(sink.records) - len(accepted))
    elif path.endswith("batch") and "successful" in told:
        assert told["successful"] == len(accepted)
    elif not path.endswith("batch"):
        assert len(accepted) == (answer.status_code != 422)
        assert [record.value for record in sink.records] == [body]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["authorization", "x-api-key", "idempotency-key", "traceparent", "content-encoding", "content-type"]
        ),
        st.binary(max_size=12).map(lambda raw: bytes(byte for byte in raw if byte >= 32 and byte != 127)),
    )
)
def test_no_header_is_a_server_error(edge: tuple[EdgeClient, InMemorySink], headers: dict[str, bytes]) -> None:
    client, _ = edge
    answer = client.post("/v1/events/generic", content=b"{}", headers=headers)  # type: ignore[arg-type]  # bytes values are allowed
    assert answer.status_code < 500
