"""Why a query ended, in words that help."""

from streaming.errors import reason_of

HIDDEN = """An exception was raised by the Python Proxy. Return Message: Traceback (most recent call last):
  File "writers.py", line 154, in _append
    raise LandingFailedError(
streaming.errors.LandingFailedError: another driver has landed: stop it

\tat py4j.Protocol.getReturnValue(Protocol.java:476)
"""


def test_what_was_raised_within_a_batch_is_told_and_not_sparks_wrapping() -> None:
    assert reason_of(HIDDEN) == "another driver has landed: stop it"
    assert reason_of("Job aborted\n  at x") == "Job aborted"
    assert reason_of(None) == reason_of("  ") == "no reason given"
