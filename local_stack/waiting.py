"""Waiting for a state with a bound: the only place of this package that sleeps before it asks again."""

import time
from collections.abc import Callable

from local_stack.errors import StartError


def wait_until(
    is_true: Callable[[], bool],
    what: str,
    timeout_seconds: float,
    *,
    is_hopeless: Callable[[], str | None] = lambda: None,
    pause_seconds: float = 0.1,
) -> None:
    """Returns as soon as `is_true()`.

    Raises: StartError when that is not so within the bound, or as soon as `is_hopeless()` gives a reason.
    """
    deadline = time.monotonic() + timeout_seconds
    while not is_true():
        reason = is_hopeless()
        if reason is not None:
            raise StartError(f"{what}: {reason}")
        if time.monotonic() > deadline:
            raise StartError(f"{what}: not so within {timeout_seconds:g} s")
        time.sleep(pause_seconds)
