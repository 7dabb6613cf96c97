"""How bronze and the lake are opened in an object store: by the usual AWS_* variables, and the profile that they name.

The dbt plugin, which imports nothing of ours, has the same functions; a test holds the two equal.
"""

import os
from collections.abc import Mapping

from storage.settings import StorageSettings

KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class ObjectStoreError(Exception):
    """The object store cannot be reached as the settings say; the message names what to change."""


def is_remote(*uris: str) -> bool:
    """True when one of the addresses is in an object store."""
    return any(uri.startswith("s3://") for uri in uris)


def read_access(settings: StorageSettings) -> dict[str, str]:
    """The AWS_* variables to open the object store with. Raises: ObjectStoreError when the profile cannot be used."""
    own = {"AWS_REGION": settings.aws_region, "AWS_PROFILE": settings.aws_profile}
    return with_profile({**os.environ, **{name: value for name, value in own.items() if value}})


def with_profile(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with keys, region and endpoint of the profile that AWS_PROFILE names, where it has none itself, as AWS's tools do.

    Temporary keys are those of this moment. Raises: ObjectStoreError.
    """
    given = {name: value for name, value in environment.items() if value}
    profile = given.get("AWS_PROFILE")
    if profile is None:
        return given
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        session = Session(profile=profile)
        config = session.get_scoped_config()
        found = {"AWS_REGION": config.get("region"), "AWS_ENDPOINT_URL": config.get("endpoint_url")}
        if "AWS_ACCESS_KEY_ID" not in given and (keys := session.get_credentials()) is not None:
            found |= dict(zip(KEY_VARIABLES, keys.get_frozen_credentials()[:3], strict=True))
    except BotoCoreError as error:
        raise ObjectStoreError(
            f"AWS_PROFILE={profile} cannot be used: {error}; name a profile of ~/.aws/config or ~/.aws/credentials, or unset it"
        ) from error
    return {name: value for name, value in found.items() if value} | given


def object_store_secret(access: Mapping[str, str]) -> str:
    """DuckDB's S3 secret out of AWS_* variables. Its own credential chain needs an extension that has no wheel here."""
    names = {
        "KEY_ID": "AWS_ACCESS_KEY_ID",
        "SECRET": "AWS_SECRET_ACCESS_KEY",
        "SESSION_TOKEN": "AWS_SESSION_TOKEN",
        "REGION": "AWS_REGION",
    }
    options = [f"{option} {quoted(access[name])}" for option, name in names.items() if access.get(name)]
    if endpoint := access.get("AWS_ENDPOINT_URL"):
        scheme, _, host = endpoint.partition("://")
        options += [
            f"ENDPOINT {quoted(host or scheme)}",
            "URL_STYLE 'path'",
            f"USE_SSL {str(scheme == 'https').lower()}",
        ]
    return f"CREATE OR REPLACE SECRET object_store ({', '.join(['TYPE s3', *options])})"


def delta_options(settings: StorageSettings) -> dict[str, str] | None:
    """delta-rs's storage options for bronze; None where it is in a folder. Raises: ObjectStoreError."""
    if not is_remote(settings.bronze_uri):
        return None
    access = read_access(settings)
    names = (*KEY_VARIABLES, "AWS_REGION", "AWS_ENDPOINT_URL")
    options = {name: access[name] for name in names if name in access}
    if options.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        options["AWS_ALLOW_HTTP"] = "true"
    return options


def quoted(text: str) -> str:
    """`text` as an SQL string: DuckDB binds no parameters in ATTACH and CREATE."""
    return "'" + text.replace("'", "''") + "'"
