"""The version of the code that builds numbers: a hash of the dbt project's sources, so that it changes exactly when they do."""

import hashlib
from functools import lru_cache
from pathlib import Path

from platform_assets.settings import OrchestrationSettings

SOURCES = ("models", "macros", "plugins", "dbt_project.yml", "profiles.yml")


@lru_cache(maxsize=1)
def read_code_version(project_dir: Path | None = None) -> str:
    """Twelve hex digits of SHA-256 over the names and contents of the project's files, in order of name."""
    root = project_dir or OrchestrationSettings.model_fields["dbt_project_dir"].default
    digest = hashlib.sha256()
    for source in SOURCES:
        path = root / source
        files = (
            sorted(item for item in path.rglob("*") if item.suffix in (".sql", ".yml", ".py"))
            if path.is_dir()
            else [path]
        )
        for file in files:
            digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
