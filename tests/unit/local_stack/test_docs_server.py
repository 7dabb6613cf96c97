"""The docs server before and after docs exist."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from local_stack.docs_server import DocsHandler


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(DocsHandler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def read(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=5) as answer:
        return bytes(answer.read())


def test_before_the_first_build_the_page_says_so(address: str) -> None:
    assert b"generated after the first build" in read(address)
    with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=5) as answer:
        assert answer.status == 200


def test_docs_are_served_once_they_exist(address: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("docs")
    assert read(address) == b"docs"


def test_folders_are_never_listed(address: str, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        read(f"{address}/inner/")
