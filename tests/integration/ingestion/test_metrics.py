"""What the ingestion API exports after load: documented names, true figures, bounded labels; and the same on the stack's own port."""

import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from local_stack.metrics import MetricsHandler, StackCollector
from local_stack.settings import StackSettings
from scripts.metrics_doc import rows
from tests.integration.ingestion.processes import ApiProcess
from tests.integration.ingestion.raw_http import exchange
from tests.unit.ingestion.builders import encode, engagement

pytestmark = pytest.mark.integration
P = "tidemark_ingestion"


def samples_of(text: str) -> dict[str, float]:
    """`name{label=value}` → value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def send_load(api: ApiProcess) -> int:
    """Good, bad and refused requests; the bytes of all events."""
    single, lines = encode(engagement()), b"\n".join([encode(engagement())] * 500 + [b"{"] * 3)
    for _ in range(20):
        assert api.client.post("/api/v1/events", content=single).status_code == 201
    assert api.client.post("/v1/batch", content=lines).status_code == 202
    assert api.client.post("/v1/batch", content=b"", headers={"X-API-Key": "unknown"}).status_code == 401
    for number in range(30):
        assert api.client.post(f"/nowhere/{number}", content=b"").status_code == 404
    assert api.client.base_url.port is not None
    exchange(api.client.base_url.port, [b"nonsense\r\n\r\n"])
    return 20 * len(single) + len(lines) - 502


@pytest.mark.feature("S0-19")
def test_after_load_the_metrics_tell_what_happened(api: ApiProcess, tmp_path: Path) -> None:
    size_bytes = send_load(api)
    text = api.client.get("/metrics").text
    found = samples_of(text)
    exported = {family.name.removesuffix("_created") for family in text_string_to_metric_families(text)}
    assert exported == {row.name.removesuffix("_total") for row in rows()["Ingestion API"]}
    expected = {
        f"{P}_events_accepted_total": 520,
        f"{P}_events_refused_total{{reason=malformed_json}}": 3,
        f"{P}_requests_refused_total{{code=wrong_key}}": 1,
        f"{P}_connections_refused_total{{reason=malformed}}": 1,
        f"{P}_event_bytes_total": size_bytes,
        f"{P}_publish_duration_seconds_count": 21,
        f"{P}_request_duration_seconds_count{{route=/api/v1/events,status=201}}": 20,
        f"{P}_queued_records": 0,
        f"{P}_broker_reachable": 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert 1 <= found[f"{P}_open_connections"] <= 2
    assert found[f"{P}_publish_duration_seconds_sum"] > 0
    documented = set(api.client.get("/openapi.json").json()["paths"])
    routes = {
        sample.labels["route"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "route" in sample.labels
    }
    assert routes <= documented
    assert_same_on_the_stacks_port(api, tmp_path)


def assert_same_on_the_stacks_port(api: ApiProcess, home: Path) -> None:
    port = api.client.base_url.port
    assert port is not None

    class Handler(MetricsHandler):
        registry = CollectorRegistry()

    Handler.registry.register(StackCollector(StackSettings(home=home), services={"ingestion": port}))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        answer = httpx.get(f"http://127.0.0.1:{server.server_address[1]}/metrics", timeout=10)
        server.shutdown()
    assert answer.headers["content-type"].startswith("text/plain")
    found = samples_of(answer.text)
    assert found["tidemark_scrape_up{service=ingestion}"] == 1
    assert found[f"{P}_events_accepted_total{{service=ingestion}}"] == 520
