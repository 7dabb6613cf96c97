"""What `tidemark settle` asks of the analytics API, over a real socket."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cli.settle import is_read_before


class Health(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def analytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))
    server = HTTPServer(("127.0.0.1", 0), Health)
    (tmp_path / "endpoints.json").write_text(json.dumps({"analytics": f"http://127.0.0.1:{server.server_port}"}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"publication": 6}', True),
        ('{"publication": null}', True),
        ('{"publication": 7}', False),
        ('{"publication": 8}', False),
        ("not ours", False),
        ("{}", False),
        ("[]", False),
    ],
)
def test_settle_waits_for_an_api_that_reads_an_earlier_publication(
    analytics: HTTPServer, monkeypatch: pytest.MonkeyPatch, body: str, expected: bool
) -> None:
    monkeypatch.setattr(Health, "body", body.encode())
    assert is_read_before(7) is expected


def test_an_api_that_is_away_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))
    assert not is_read_before(7), "no stack has been here"
    (tmp_path / "endpoints.json").write_text('{"analytics": "http://127.0.0.1:1"}')
    assert not is_read_before(7)
