"""Errors of the sinks. All are retryable: nothing was acknowledged, and the same bytes may be sent again.

SinkUnavailableError
└── QueueFullError
"""


class SinkUnavailableError(RuntimeError):
    """The sink takes nothing at the moment; nothing of the call was acknowledged."""


class QueueFullError(SinkUnavailableError):
    """Too many records wait for the broker already; nothing of the call was queued."""
