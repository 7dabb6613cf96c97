"""What can be wrong with a bearer token. Drawn as a tree in `tokens.py`. Messages are for the client and hold nothing of the token."""


class TokenError(Exception):
    """The token is not accepted."""


class TokenExpiredError(TokenError):
    """The token was valid once."""


class AppMissingError(TokenError):
    """The token is valid, but it does not say whose data it is about."""


class TokenKeysUnavailableError(TokenError):
    """The issuer's keys cannot be read, and none are known. Retryable."""
