"""How DuckDB reaches an object store: a secret out of the usual AWS_* variables, for every process that reads or writes the lake.

The dbt plugin, which imports nothing of ours, has the same function; a test holds the two equal.
"""

from collections.abc import Mapping


def object_store_secret(environment: Mapping[str, str]) -> str:
    """The S3 secret out of the usual AWS_* variables. DuckDB's own credential chain needs an extension that has no wheel here."""
    names = {
        "KEY_ID": "AWS_ACCESS_KEY_ID",
        "SECRET": "AWS_SECRET_ACCESS_KEY",
        "SESSION_TOKEN": "AWS_SESSION_TOKEN",
        "REGION": "AWS_REGION",
    }
    options = [f"{option} {quoted(environment[name])}" for option, name in names.items() if environment.get(name)]
    if endpoint := environment.get("AWS_ENDPOINT_URL"):
        scheme, _, host = endpoint.partition("://")
        options += [
            f"ENDPOINT {quoted(host or scheme)}",
            "URL_STYLE 'path'",
            f"USE_SSL {str(scheme == 'https').lower()}",
        ]
    return f"CREATE OR REPLACE SECRET object_store ({', '.join(['TYPE s3', *options])})"


def quoted(text: str) -> str:
    """`text` as an SQL string: DuckDB binds no parameters in ATTACH and CREATE."""
    return "'" + text.replace("'", "''") + "'"
