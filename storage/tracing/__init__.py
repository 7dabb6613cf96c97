"""The way of one event through every store, for `tidemark trace`. Reads only, takes no lock, changes nothing."""

from storage.tracing.model import Copy, Trace
from storage.tracing.way import Bounds, trace

__all__ = ["Bounds", "Copy", "Trace", "trace"]
