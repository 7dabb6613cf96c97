"""Answers addresses of the hot path without FastAPI's own way to an endpoint, which costs more than taking an event does.

FastAPI still has the same routes: it documents them, and answers what is not a plain POST.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]


class DirectRoutes:
    """In front of an application: a table of paths whose POST requests it answers itself."""

    def __init__(self, app: ASGIApp, table: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        app = self._app
        if scope["type"] == "http" and scope["method"] == "POST":
            app = self._table.get(scope["path"], app)
        await app(scope, receive, send)


def as_app(endpoint: Endpoint) -> ASGIApp:
    """An ASGI application of one endpoint."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
