"""What a hot store can answer instead of doing what was asked. Whether trying again can help is the type.

HotStoreError
├── StoreUnavailableError  retryable: the store does not answer, is not migrated yet, or is too busy
└── UnstorableError        permanent: it answers, and refuses these events as they are
"""


class HotStoreError(Exception):
    """Anything a hot store raises on purpose."""


class StoreUnavailableError(HotStoreError):
    """Nothing is known about the events: all may be written again."""


class UnstorableError(HotStoreError):
    """At least one of the events can never be written. The others of the call may be written or not."""
