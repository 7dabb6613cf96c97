"""Serves the generated dbt docs, or says that there are none yet. Static files only."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from os import PathLike
from pathlib import Path

from local_stack.ports import LOOPBACK
from local_stack.settings import StackSettings

NOTHING_YET = b"""<!doctype html><meta charset="utf-8"><title>Tidemark: dbt docs</title>
<p style="font: 1rem system-ui; margin: 3rem">The documentation of the models is generated after the first build.
Send some events (<code>tidemark send --events 1000</code>) and reload in a minute."""


class DocsHandler(SimpleHTTPRequestHandler):
    """Files of the docs folder; never a listing."""

    def list_directory(self, path: str | PathLike[str]) -> BytesIO | None:
        """The placeholder for the first page of a folder without one; 404 for other folders."""
        if Path(path) != Path(self.directory):
            self.send_error(404)
            return None
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(NOTHING_YET)))
        self.end_headers()
        return BytesIO(NOTHING_YET)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def main() -> None:
    """Serves until it is stopped."""
    settings = StackSettings()
    handler = partial(DocsHandler, directory=str(settings.docs_dir))
    with ThreadingHTTPServer((LOOPBACK, settings.ports.dbt_docs), handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
