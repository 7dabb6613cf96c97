"""What the registry refuses, with the numbers that its clients know."""

from enum import IntEnum


class RegistryErrorCode(IntEnum):
    """The `error_code` of an answer. Its first three digits are the HTTP status."""

    INCOMPATIBLE = 409
    UNPROCESSABLE = 422
    BODY_TOO_LARGE = 413
    MISSING_KEY = 40101
    FORBIDDEN = 40301
    SUBJECT_NOT_FOUND = 40401
    VERSION_NOT_FOUND = 40402
    SCHEMA_NOT_FOUND = 40403
    SUBJECT_SOFT_DELETED = 40404
    SUBJECT_NOT_SOFT_DELETED = 40405
    VERSION_SOFT_DELETED = 40406
    VERSION_NOT_SOFT_DELETED = 40407
    LEVEL_NOT_FOUND = 40408
    INVALID_SCHEMA = 42201
    INVALID_VERSION = 42202
    INVALID_LEVEL = 42203
    OPERATION_NOT_PERMITTED = 42205
    STORE_UNAVAILABLE = 50301


class RegistryError(Exception):
    """A refusal."""

    def __init__(self, code: RegistryErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(str(self.code.value)[:3])
