"""Whatever comes by the addresses of foreign protocols is answered without a 5xx, and everything sent is accepted or kept."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.sinks import InMemorySink
from tests.unit.ingestion.api.test_cloudevents import EVENT, HEADERS
from tests.unit.ingestion.api.test_fuzz import values
from tests.unit.ingestion.api.test_segment import track
from tests.unit.ingestion.builders import EdgeClient

SUPPRESSED = [HealthCheck.function_scoped_fixture]
names = st.sampled_from(
    [*track(), *EVENT, "anonymousId", "sentAt", "timestamp", "context", "writeKey", "data", "data_base64", "time", "X"]
)
items = st.dictionaries(names, values, max_size=6) | st.dictionaries(names, values, max_size=3).map(
    lambda item: {**track(), **item}
)
printable = st.binary(max_size=12).map(lambda raw: bytes(byte for byte in raw if byte >= 32 and byte != 127))


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


calls = st.one_of(
    st.tuples(st.sampled_from(["/v1/track", "/v1/alias"]), st.binary(max_size=40) | (items | values).map(encode)),
    st.tuples(
        st.just("/v1/batch"),
        st.builds(lambda batch, beside: encode({**beside, "batch": batch}), st.lists(items | values, max_size=3), items)
        | st.binary(max_size=40),
    ),
)


@settings(max_examples=200, deadline=None, suppress_health_check=SUPPRESSED)
@given(call=calls)
def test_no_segment_body_is_a_server_error_and_nothing_is_lost(
    edge: tuple[EdgeClient, InMemorySink], call: tuple[str, bytes]
) -> None:
    client, sink = edge
    sink.records.clear()
    answer = client.post(call[0], content=call[1], headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 401)
    if answer.status_code == 401:  # a text as writeKey
        assert sink.records == []
        return
    told = answer.json()
    kept = [record.topic for record in sink.records]
    if told == {"success": True}:
        assert set(kept) <= {"events.raw.v1"}
    else:
        assert (kept.count("events.raw.v1"), kept.count("events.dlq.v1")) == (told["accepted"], told["rejected"])
        assert told["success"] == bool(told["accepted"])


@settings(max_examples=200, deadline=None, suppress_health_check=SUPPRESSED)
@given(
    headers=st.dictionaries(
        st.sampled_from([*HEADERS, "ce-time", "ce-x", "ce-", "ce-datacontenttype", "content-type"]), printable
    ),
    content_type=st.sampled_from(
        [None, "application/json", "text/plain", "application/cloudevents+json", "application/cloudevents-batch+json"]
    ),
    body=st.binary(max_size=40) | (items | st.lists(items, max_size=3) | values).map(encode),
)
def test_no_cloud_event_is_a_server_error_and_nothing_is_lost(
    edge: tuple[EdgeClient, InMemorySink], headers: dict[str, bytes], content_type: str | None, body: bytes
) -> None:
    client, sink = edge
    sink.records.clear()
    named = {name: value.encode() for name, value in HEADERS.items()}
    sent = {**named, **headers, **({} if content_type is None else {"content-type": content_type.encode()})}
    answer = client.post("/v1/cloudevents", content=body, headers=sent)  # type: ignore[arg-type]  # bytes values are allowed
    assert answer.status_code in (202, 415, 422)
    accepted = sum(record.topic == "events.raw.v1" for record in sink.records)
    told = answer.json()
    if "accepted" in told:
        assert (told["accepted"], told["rejected"]) == (accepted, len(sink.records) - accepted)
    elif answer.status_code != 415:
        assert (accepted, len(sink.records)) == (int(answer.status_code == 202), 1)
