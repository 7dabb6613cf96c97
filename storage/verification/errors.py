"""Errors of the checker.

VerificationError
└── ServiceUnreachableError   a service that the checker needs does not answer: nothing was verified
"""


class VerificationError(Exception):
    """The checker could not do its work."""


class ServiceUnreachableError(VerificationError):
    """`service` does not answer; a retry may help."""

    def __init__(self, service: str, address: str, reason: str) -> None:
        super().__init__(
            f"{service} at {address} does not answer ({reason}); start it, or check the address, and verify again"
        )
        self.service = service
