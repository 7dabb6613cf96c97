"""Errors of the streaming package. Whether a restart can help is the type: the supervisor reads it from the exit code.

StreamingError
├── ConfigurationError     permanent: a person must act; exit code 78 (EX_CONFIG), tried again at the longest pause
│   └── StartRefusedError  starting would lose records or land them twice
├── CompactionError        some dates could not be rewritten; the others were
├── CommitLockError        retryable: the other driver of bronze held the lock around commits for too long
├── KafkaUnreachableError  retryable: the broker does not answer, or the topics are not there yet
├── LandingFailedError     retryable: a landing query ended; the next start goes on from the checkpoint
├── RewriteError           a compaction has not the rows that it read; nothing was committed
└── WindowsFailedError     retryable: the query of the live windows ended, the same
"""

EXIT_FAILED = 1


class StreamingError(Exception):
    """Anything this package raises on purpose."""


class ConfigurationError(StreamingError):
    """Settings, checkpoint and bronze do not fit together; retrying cannot help."""


class StartRefusedError(ConfigurationError):
    """Starting would lose records or land them twice. The message says what was found and what to do."""


class CommitLockError(StreamingError):
    """The other driver of bronze did not end its commit in time."""


class CompactionError(StreamingError):
    """Some dates could not be written anew. They are as they were."""


class KafkaUnreachableError(StreamingError):
    """The broker or its topics did not answer within the time allowed."""


class LandingFailedError(StreamingError):
    """A landing query ended although nobody asked it to."""


class RewriteError(StreamingError):
    """A compaction has written other rows than it read. Nothing was committed."""


class WindowsFailedError(StreamingError):
    """The query of the live windows ended although nobody asked it to."""


def reason_of(error: object) -> str:
    """Why a query ended, in one line: what this package raised within a batch, which Spark hides in a traceback, else the first line."""
    lines = str(error).strip().splitlines() if error is not None else []
    own = [line for line in lines if line.startswith(f"{__name__}.")]
    if own:
        return own[-1].partition(": ")[2]
    return lines[0] if lines else "no reason given"
