"""Whose bearer tokens are accepted. The same for both APIs; read once by their entry points.

There is no secret here: tokens are verified with published keys. What stands for a default secret is an issuer that is not one's own,
keys that come over a wire anyone can write to, or tokens that were made for somebody else. Starting on these is refused.
"""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.settings import ENVIRONMENT_NAMES, Environment

# As in sample configurations; hosts that are reserved for documentation (RFC 2606).
_PLACEHOLDER = re.compile(
    r"change[-_ ]?me|change[-_ ]?this|replace[-_ ]?me|placeholder|your[-_ ]|<|>|\bdefault\b|\bsecret\b|\bexample\.(com|org|net)\b"
    r"|\.(example|invalid)\b",
    re.IGNORECASE,
)


class TokenSettings(BaseSettings):
    """An empty JWKS address switches tokens off: only keys are accepted then."""

    model_config = SettingsConfigDict(env_prefix="TIDEMARK_TOKENS_", frozen=True, extra="ignore", populate_by_name=True)

    environment: Environment = Field(
        default="development",
        validation_alias=ENVIRONMENT_NAMES,
        description="In production the JWKS address must be https, on loopback too.",
    )
    jwks_url: str = Field(
        default="", description="Address of the issuer's keys (JWKS); empty: no bearer tokens, only keys."
    )
    issuer: str = Field(default="", description="The iss that tokens must carry. Needed with a JWKS address.")
    audience: str = Field(default="", description="The aud that tokens must carry. Needed with a JWKS address.")
    app_claim: str = Field(default="app_id", min_length=1, description="The claim that names the app.")
    leeway_seconds: int = Field(default=10, ge=0, le=60, description="How far clocks may be apart for exp and nbf.")

    @model_validator(mode="after")
    def _is_safe_to_start(self) -> "TokenSettings":
        """Raises: ValueError that names the setting and the remedy."""
        if not self.jwks_url:
            return self
        for name in ("issuer", "audience"):
            value = getattr(self, name)
            if not value.strip():
                raise ValueError(
                    f"TIDEMARK_TOKENS_{name.upper()} is empty: without it a token made for anybody would be accepted. "
                    "Set what your issuer writes into its tokens"
                )
        for name in ("jwks_url", "issuer", "audience"):
            if _PLACEHOLDER.search(getattr(self, name)):
                raise ValueError(
                    f"TIDEMARK_TOKENS_{name.upper()} is still a placeholder. Set your issuer's own value, "
                    "or leave TIDEMARK_TOKENS_JWKS_URL empty to accept keys only"
                )
        self._assure_address_is_safe()
        return self

    def _assure_address_is_safe(self) -> None:
        parts = urlsplit(self.jwks_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                "TIDEMARK_TOKENS_JWKS_URL must be an https address, such as https://HOST/.well-known/jwks.json"
            )
        is_plain_allowed = self.environment == "development" and _is_loopback(parts.hostname)
        if parts.scheme == "http" and not is_plain_allowed:
            raise ValueError(
                "TIDEMARK_TOKENS_JWKS_URL is http: whoever is on the way could put in keys of their own. Use https; "
                "http is for loopback in development"
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
