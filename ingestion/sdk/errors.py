"""What can go wrong in the SDK, and whose turn it is then.

    SDKError
    ├── SDKValidationError      the caller's turn: the event was not taken, and unchanged it never will be
    │   ├── InvalidEventError       it breaks its contract; `reason` is the code that the edge would give
    │   └── UnknownVariantError     the experiment has no such variant
    ├── SDKDeliveryError        the event is good, the way is not
    │   ├── QueueFullError          not taken: the queue or the spool is at its bound
    │   ├── LostEventError          an event that was taken is given up; carries its id and bytes
    │   │   ├── RejectedError           the edge looked at it and refused it for good
    │   │   └── AbandonedError          the client was closed before the edge acknowledged it
    │   ├── NotAcknowledgedError    no verdict; `is_kept` says whether the client goes on trying
    │   │   ├── RefusedError            the edge refuses this client: its key or address are wrong
    │   │   └── UnavailableError        not in time
    │   └── SpoolError              the spool cannot be opened, read or written
    │       └── SpoolLockedError        another process or client has it
    └── ClientClosedError       the client was closed before

Messages name ids, reasons and sizes, never a payload or a key.
"""

from ingestion.contracts.reasons import Reason


class SDKError(Exception):
    """Everything that this package raises."""


class SDKValidationError(SDKError, ValueError):
    """The event is not what its contract asks for. It was not taken."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason.value}: {message}")
        self.reason = reason


class InvalidEventError(SDKValidationError):
    """A rule of the contract is broken."""


class UnknownVariantError(SDKValidationError):
    """The experiment has other variants."""

    def __init__(self, experiment_id: str, variant: str, variants: tuple[str, ...]) -> None:
        message = f"experiment {experiment_id} has the variants {', '.join(variants)}, found {variant}"
        super().__init__(Reason.UNKNOWN_VARIANT, message)
        self.variants = variants


class SDKDeliveryError(SDKError):
    """A good event did not get where it should."""


class QueueFullError(SDKDeliveryError):
    """The event was not taken: the bound of events or bytes is reached. Counted as `overflowed`."""


class LostEventError(SDKDeliveryError):
    """An event that was taken and is given up. `raw` is its JSON."""

    def __init__(self, event_id: str, raw: bytes, why: str) -> None:
        super().__init__(f"event {event_id} {why}")
        self.event_id = event_id
        self.raw = raw


class RejectedError(LostEventError):
    """The edge refused the event for good; `code` is its reason."""

    def __init__(self, event_id: str, raw: bytes, code: str, message: str) -> None:
        super().__init__(event_id, raw, f"was rejected: {code}: {message}")
        self.code = code


class AbandonedError(LostEventError):
    """The client was closed first. Whether the edge has the event is not known; it may be sent again with its id."""

    def __init__(self, event_id: str, raw: bytes) -> None:
        super().__init__(event_id, raw, "was not acknowledged before the client was closed")


class NotAcknowledgedError(SDKDeliveryError):
    """The edge gave no verdict. With `is_kept` the client still has the events and must not be given them again."""

    def __init__(self, message: str, *, is_kept: bool) -> None:
        super().__init__(message)
        self.is_kept = is_kept


class RefusedError(NotAcknowledgedError):
    """The edge takes nothing from this client as it is configured."""


class UnavailableError(NotAcknowledgedError):
    """Nothing was acknowledged in time."""


class SpoolError(SDKDeliveryError):
    """The spool's files do not do what they should."""


class SpoolLockedError(SpoolError):
    """Somebody else has the spool."""


class ClientClosedError(SDKError):
    """The client takes no more events."""
