"""Where the API learns which publications exist: a Protocol of four methods, and the one over the catalog in PostgreSQL."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import Engine

from serving.errors import UnavailableError
from storage import publications
from storage.publications import Publication

T = TypeVar("T")


class PublicationCatalog(Protocol):
    """The kept publications. Raises `UnavailableError` when it cannot be asked. Tests provide a fake."""

    def latest(self) -> Publication | None:
        """The newest one, None before the first."""

    def find(self, publication_id: int) -> Publication | None:
        """That one while it is kept."""

    def listing(self, limit: int, before: int | None) -> list[Publication]:
        """Kept ones, newest first."""

    def nearest_kept(self, publication_id: int) -> Publication | None:
        """The kept one nearest to an expired one."""


class StoredPublications:
    """The catalog in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def latest(self) -> Publication | None:
        """See `PublicationCatalog`."""
        return _ask(lambda: publications.latest(self._engine))

    def find(self, publication_id: int) -> Publication | None:
        """See `PublicationCatalog`."""
        return _ask(lambda: publications.find(self._engine, publication_id))

    def listing(self, limit: int, before: int | None) -> list[Publication]:
        """See `PublicationCatalog`."""
        return _ask(lambda: publications.listing(self._engine, limit=limit, before=before))

    def nearest_kept(self, publication_id: int) -> Publication | None:
        """See `PublicationCatalog`."""
        return _ask(lambda: publications.nearest_kept(self._engine, publication_id))


def _ask(question: Callable[[], T]) -> T:
    try:
        return question()
    except sa.exc.SQLAlchemyError as error:
        raise UnavailableError("The database with the lake's catalog does not answer. Try again shortly.") from error
