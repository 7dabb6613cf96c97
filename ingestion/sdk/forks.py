"""What a forked child does with the clients of its parent: each begins afresh, so that no event is sent by both.

A child inherits the parent's queue, sockets and locks, the latter perhaps held by a thread that it does not have.
"""

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something with threads, locks or files."""

    def begin_afresh(self) -> None:
        """Called in the child, where no other thread runs."""
        ...


_known: "WeakSet[Forkable]" = WeakSet()
_registration = threading.Lock()
_is_registered = False


def watch(something: Forkable) -> None:
    """Calls `begin_afresh` in every child from here on."""
    global _is_registered
    with _registration:
        _known.add(something)
        if not _is_registered and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_begin_all_afresh)
            _is_registered = True


def _begin_all_afresh() -> None:
    global _registration
    _registration = threading.Lock()
    for something in list(_known):
        something.begin_afresh()
