"""Where the registry's state rests: PostgreSQL, or memory for tests and for running without a database."""

import threading
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy import Engine

from storage.control import schema_registry
from storage.control.schema_registry import Decision, RegistryState


class StoreUnavailableError(Exception):
    """The state can be neither read nor changed at present; the same call may succeed later."""


class RegistryStore(Protocol):
    """Calls may block. Raises: StoreUnavailableError."""

    def read(self) -> RegistryState:
        """The newest state."""
        ...

    def find_text(self, schema_id: int) -> str | None:
        """The text of one schema, None where there is none."""
        ...

    def change(self, decide: Decision) -> RegistryState:
        """The state after the change that `decide` makes of the newest one; one caller at a time, over all processes."""
        ...


class PostgresRegistryStore:
    """The control tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self) -> RegistryState:
        """See RegistryStore."""
        try:
            return schema_registry.read(self._engine)
        except sa.exc.SQLAlchemyError as error:
            raise StoreUnavailableError(type(error).__name__) from error

    def find_text(self, schema_id: int) -> str | None:
        """See RegistryStore."""
        try:
            return schema_registry.find_text(self._engine, schema_id)
        except sa.exc.SQLAlchemyError as error:
            raise StoreUnavailableError(type(error).__name__) from error

    def change(self, decide: Decision) -> RegistryState:
        """See RegistryStore."""
        try:
            return schema_registry.change(self._engine, decide)
        except sa.exc.SQLAlchemyError as error:
            raise StoreUnavailableError(type(error).__name__) from error


class InMemoryRegistryStore:
    """A store of its own process; `available` false makes it unreachable."""

    def __init__(self) -> None:
        self.state = RegistryState()
        self.available = True
        self._lock = threading.Lock()

    def read(self) -> RegistryState:
        """See RegistryStore."""
        if not self.available:
            raise StoreUnavailableError("the store in memory was made unavailable")
        return self.state

    def find_text(self, schema_id: int) -> str | None:
        """See RegistryStore."""
        schema = self.read().schemas.get(schema_id)
        return None if schema is None else schema.text

    def change(self, decide: Decision) -> RegistryState:
        """See RegistryStore."""
        with self._lock:
            state = self.read()
            self.state = state.after(decide(state))
            return self.state
