"""The log of a process that met good, bad and hostile clients: JSON line by line, and none of what they sent."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage.control.keys import create_key
from storage.settings import StorageSettings
from tests.integration.ingestion.processes import running_api
from tests.integration.ingestion.raw_http import exchange, head
from tests.unit.ingestion.builders import encode, engagement

pytestmark = pytest.mark.integration


@pytest.mark.feature("S2-15")
def test_batches_are_one_json_line_each_and_keys_and_payloads_are_in_none(
    kafka_bootstrap: str, storage_settings: StorageSettings, engine: Engine, tmp_path: Path
) -> None:
    key = create_key(engine, "logged", "write")
    headers = {"Authorization": f"Bearer {key}"}
    lines = b"\n".join([encode(engagement(user_id="Topsecret")), b'{"user_id":"Topsecret"}', b"{Topsecret"])
    with (
        (tmp_path / "api.log").open("wb") as log,
        running_api(kafka_bootstrap, storage_settings.database_url, log=log, ENVIRONMENT="production") as api,
    ):
        named = api.client.post("/v1/batch", content=lines, headers={**headers, "X-Request-Id": "mine-1"})
        unnamed = api.client.post("/api/v1/events/batch", json={"events": [engagement()]}, headers=headers)
        injected = api.client.post("/v1/batch", content=lines, headers={**headers, "X-Request-Id": 'Topsecret"\t{'})
        for wrong in ("tmw_Topsecret", "Topsecret", f"{key}x"):
            assert api.client.post("/v1/batch", content=lines, headers={"X-API-Key": wrong}).status_code == 401
        api.client.post("/api/v1/events", content=b'{"user_id":"Topsecret","x":NaN}', headers=headers)
        port = api.client.base_url.port
        assert port is not None
        exchange(port, [head("/v1/batch", "Content-Length: Topsecret")])
        exchange(port, [head("/Topsecret?key=Topsecret", "Content-Length: 0")])
    text = (tmp_path / "api.log").read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    assert {entry["service"] for entry in entries} == {"ingestion"}
    batches = {entry["request_id"]: entry for entry in entries if entry["event"] == "batch taken"}
    assert set(batches) == {answer.headers["X-Request-Id"] for answer in (named, unnamed, injected)}
    assert named.headers["X-Request-Id"] == "mine-1"
    counts = {name: batches["mine-1"][name] for name in ("app_id", "total", "accepted", "rejected", "undelivered")}
    assert counts == {"app_id": "logged", "total": 3, "accepted": 1, "rejected": 2, "undelivered": 0}
    assert "Topsecret" not in text
    assert not re.search(r"tm[wr]_", text)
    assert key not in text
