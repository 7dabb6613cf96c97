"""The acknowledgement ledger in PostgreSQL, behind the API's Ledger protocol."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Engine

from ingestion.api.ledger import Count
from storage.control import acknowledged


class PostgresLedger:
    """See ingestion.api.ledger.Ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def probe(self) -> None:
        """One round trip; replaces a connection that the server closed."""
        with self._engine.connect() as connection:
            connection.execute(sa.text("select 1"))

    def add(self, counts: Sequence[Count]) -> None:
        """One transaction."""
        acknowledged.add(self._engine, counts)
