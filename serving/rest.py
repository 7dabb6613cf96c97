"""REST: the analytics endpoints, one per registered query, publications and their differences. Thin: everything is done elsewhere."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.security import APIKeyHeader, HTTPBearer

from serving import publication_diff, queries
from serving.answers import Answer
from serving.errors import problem_responses
from serving.parameters import LARGEST_ID, PublicationDiffParameters, PublicationsParameters, RangeParameters
from serving.results import PublicationDiffAnswer, PublicationEntry, PublicationsAnswer
from serving.services import Services, services_of
from storage.publications import Publication

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The client's copy, named by `If-None-Match`, is still good."}
}
CACHING = {"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key"}

# For OpenAPI's "Authorize" only; `serving.authentication` decides.
DOCUMENTED_KEYS = [
    Depends(HTTPBearer(auto_error=False, description="A read key.")),
    Depends(APIKeyHeader(name="X-API-Key", auto_error=False, description="A read key.")),
]


def add_analytics_routes(app: FastAPI) -> None:
    """Adds GET /api/v1/analytics/<name> for every registered query."""
    router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"], dependencies=DOCUMENTED_KEYS)
    for query in queries.QUERIES:
        _add_route(router, query)
    app.include_router(router)


def _add_route(router: APIRouter, query: queries.Query[Any]) -> None:
    async def endpoint(request: Request, wanted: RangeParameters) -> Response:
        services = services_of(request)
        now = services.now()

        def work() -> Response:
            app_id = services.authenticator.readable_app(request.headers, wanted.app_id)
            copy = request.headers.get("if-none-match")
            return _respond(
                services,
                query.name,
                lambda: services.answers.answer(query, wanted, app_id, now=now, if_none_match=copy),
            )

        return await services.workers.run(work)

    # FastAPI reads the parameters from the annotation, which differs from query to query.
    endpoint.__annotations__["wanted"] = Annotated[query.parameters, Query()]
    router.add_api_route(
        f"/{query.name}",
        endpoint,
        methods=["GET"],
        name=query.name,
        summary=query.summary,
        description=_describe(query),
        response_model=query.result,
        responses={**NOT_MODIFIED, **problem_responses(401, 403, 404, 410, 422, 503)},
    )


def _respond(services: Services, name: str, make: Callable[[], Answer]) -> Response:
    """The answer over HTTP, timed under `name`."""
    with services.metrics.query_seconds.labels(name).time():
        answer = make()
    headers = {"ETag": answer.etag, **CACHING}
    if answer.body is None:
        services.metrics.not_modified.labels(name).inc()
        return Response(status_code=304, headers=headers)
    return Response(answer.body, media_type="application/json", headers=headers)


def _describe(query: queries.Query[Any]) -> str:
    return (
        f"{query.result.__doc__}\n\nThe range is half-open, [from, to), in UTC, and exact on `occurred_at`; it ends at `until`. "
        "Counts the engagement family of the key's app, from one published snapshot: `publication`, made at `as_of`. "
        "While nothing is published yet, `publication` is null and the lists are empty."
    )


def add_publication_routes(app: FastAPI) -> None:
    """Adds GET /api/v1/publications and GET /api/v1/publications/{a}/diff/{b}."""

    @app.get(
        "/api/v1/publications",
        tags=["publications"],
        summary="Kept publications, newest first",
        response_model=PublicationsAnswer,
        responses=problem_responses(401, 403, 422, 503),
        dependencies=DOCUMENTED_KEYS,
    )
    async def list_publications(request: Request, wanted: Annotated[PublicationsParameters, Query()]) -> Response:
        """Every state of the tables that can still be read with `?publication=`. Page on with `before`."""
        services = services_of(request)

        def work() -> Response:
            services.authenticator.readable_app(request.headers)
            newest = services.pool.newest()
            found = services.catalog.listing(wanted.limit, wanted.before)
            answer = PublicationsAnswer(
                total_count=len(found),
                newest=newest.publication_id if newest else None,
                publications=[to_entry(publication) for publication in found],
            )
            return Response(
                answer.model_dump_json(),
                media_type="application/json",
                headers={**CACHING, "Cache-Control": "no-store"},
            )

        return await services.workers.run(work)

    @app.get(
        "/api/v1/publications/{a}/diff/{b}",
        tags=["publications"],
        summary="What differs between two publications, and why",
        response_model=PublicationDiffAnswer,
        responses={**NOT_MODIFIED, **problem_responses(401, 403, 404, 410, 422, 503)},
        dependencies=DOCUMENTED_KEYS,
    )
    async def diff_publications(
        request: Request,
        a: Annotated[int, Path(ge=1, le=LARGEST_ID, description="The publication whose values are `old`.")],
        b: Annotated[int, Path(ge=1, le=LARGEST_ID, description="The publication whose values are `new`.")],
        wanted: Annotated[PublicationDiffParameters, Query()],
    ) -> Response:
        """Rows of the key's app that publication `b` has and `a` has not, and the reverse, by table and UTC day or hour, with old and new
        sums: gold's tables row by row, silver.events by its number of rows. `a` may be the newer one: then `old` is what was published
        later. The same publication twice differs in nothing.

        `restatements` explain it: the ledger's rows of the publications made after the earlier one, up to the later one, with cause and
        run, as they were written, forward in time whichever of the two was named first. Periods that were still open are not in the
        ledger; what changed there is told by `causes`.
        """
        services = services_of(request)

        def work() -> Response:
            app_id = services.authenticator.readable_app(request.headers, wanted.app_id)
            copy = request.headers.get("if-none-match")
            return _respond(services, publication_diff.NAME, lambda: services.diffs.answer(a, b, wanted, app_id, copy))

        return await services.workers.run(work)


def to_entry(publication: Publication) -> PublicationEntry:
    """A publication as the API tells it."""
    return PublicationEntry(
        id=publication.publication_id,
        cause=publication.cause,
        hours=list(publication.hours),
        run=publication.run_id,
        base=publication.base_publication_id,
        published_at=publication.published_at,
        snapshot=publication.snapshot_id,
        changes=publication.changes,
    )
