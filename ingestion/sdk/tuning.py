"""The SDK's knobs: bounds, and the reason of each default."""

from dataclasses import dataclass

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """All have defaults for a web service that sends up to some thousand events per second."""

    queue_max_events: int = 100_000
    """Events that may wait, in memory or in the spool (whose index takes about 200 bytes of memory per event)."""
    queue_max_bytes: int = 64 * _MEBIBYTE
    """Bytes of events in memory, or of the spool's files: an hour of outage at 50 events of 350 bytes per second."""
    batch_max_events: int = 500
    """Events in one request; the edge takes 50,000, but what is sent again after a failure is the whole request."""
    batch_max_bytes: int = _MEBIBYTE
    """Bytes in one request before packing, unless one event alone is larger."""
    flush_interval_seconds: float = 0.5
    """How long the oldest event waits for company."""
    gzip_above_bytes: int = 2048
    """Bodies from here on are packed: below, headers and packets weigh more than what is saved."""
    first_pause_seconds: float = 0.2
    """Before the first retry; doubled each time, and each pause is between half of it and the whole, by chance."""
    longest_pause_seconds: float = 30.0
    """Where doubling ends. A Retry-After of the edge may ask for more, up to an hour."""
    close_timeout_seconds: float = 5.0
    """How long `close`, and the end of the program, wait for the edge."""
    spool_syncs: bool = False
    """Wait for the disk at every event: it then survives the loss of power, not only of the process, at the disk's pace."""

    def __post_init__(self) -> None:
        """Raises: ValueError naming the knob."""
        counts = ("queue_max_events", "queue_max_bytes", "batch_max_events", "batch_max_bytes")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.batch_max_events > 50_000:
            raise ValueError(f"batch_max_events may be 50000, found {self.batch_max_events}")
        if self.batch_max_bytes > 16 * _MEBIBYTE:
            raise ValueError(f"batch_max_bytes may be 16 MiB, found {self.batch_max_bytes}")
        durations = ("flush_interval_seconds", "first_pause_seconds", "longest_pause_seconds", "close_timeout_seconds")
        for name in (*durations, "gzip_above_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
