"""Control tables in PostgreSQL (schema `control`): keys, dirty hours, heartbeats, counters. No event data belongs here."""

from storage.control.engine import make_engine, migrate

__all__ = ["make_engine", "migrate"]
