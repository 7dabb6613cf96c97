"""Answers addresses of the hot path without FastAPI's own way to an endpoint, which costs more than taking an event does.

FastAPI still has the same routes: it documents them, and answers what is not a plain POST.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Failed = Callable[[Request, Exception], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class DirectRoutes:
    """In front of an application: a table of paths whose POST requests it answers itself."""

    def __init__(self, app: ASGIApp, table: Mapping[str, ASGIApp], answer_unexpected: Failed) -> None:
        self._app = app
        self._table = table
        self._answer_unexpected = answer_unexpected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        app = self._table.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if app is None:
            await self._app(scope, receive, send)
            return
        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the boundary of a request, where every failure becomes an answer
            response = await self._answer_unexpected(Request(scope), error)
            await response(scope, receive, send)


def as_app(endpoint: Endpoint) -> ASGIApp:
    """An ASGI application of one endpoint."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
