"""Routes about the service itself: /, /ping, /version, /health, /metrics. They need no key and show no data of any app."""

import asyncio

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from serving.health import Health
from serving.services import services_of

HEALTH_TIMEOUT_SECONDS = 8.0


class Pong(BaseModel):
    """A sign of life."""

    status: str = "ok"


class Version(BaseModel):
    """What is running."""

    service: str = "analytics"
    version: str = Field(examples=["0.1.0"])


class Welcome(Version):
    """Where to go from here."""

    docs: str = "/docs"
    health: str = "/health"
    endpoints: list[str] = Field(examples=[["/api/v1/analytics/events"]])


def add_operations_routes(app: FastAPI) -> None:
    """Adds the routes."""

    @app.get("/", tags=["service"], response_model=Welcome, summary="What this is")
    async def welcome(request: Request) -> Welcome:
        paths = sorted(path for path in request.app.openapi()["paths"] if path.startswith("/api/"))
        return Welcome(version=services_of(request).version, endpoints=paths)

    @app.get("/ping", tags=["service"], response_model=Pong, summary="A sign of life")
    async def ping() -> Pong:
        return Pong()

    @app.get("/version", tags=["service"], response_model=Version, summary="What is running")
    async def version(request: Request) -> Version:
        return Version(version=services_of(request).version)

    @app.get(
        "/health",
        tags=["service"],
        response_model=Health,
        summary="Database, lake and the state of publication",
        responses={503: {"model": Health, "description": "Unhealthy: a dependency is down."}},
    )
    async def health(request: Request) -> Response:
        """healthy and degraded answer 200, unhealthy 503. `checks.publication` says when and why publication is blocked."""
        services = services_of(request)
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_SECONDS):
                found = await asyncio.to_thread(services.health.check)
        except TimeoutError:
            found = services.health.timed_out(HEALTH_TIMEOUT_SECONDS)
        return Response(
            found.model_dump_json(),
            status_code=503 if found.status == "unhealthy" else 200,
            media_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    @app.get("/metrics", tags=["service"], summary="Metrics in Prometheus' text format", response_class=Response)
    async def metrics(request: Request) -> Response:
        return Response(services_of(request).metrics.render(), media_type=CONTENT_TYPE_LATEST)
