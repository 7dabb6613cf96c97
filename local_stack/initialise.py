"""The one-time steps between the servers and the services, each a short process of its own so that the supervisor stays small.

`python -m local_stack.initialise STEP`. Every step is idempotent and runs at every start; done work costs a second.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack import environment
from local_stack.cache import exclusive
from local_stack.errors import StartError
from local_stack.postgres import create_database
from local_stack.settings import PROJECT_ROOT, StackSettings
from runtime.settings import exit_on_invalid_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from storage.control.keys import KeyKind

APP_ID = "demo"
DBT_PROJECT = PROJECT_ROOT / "dbt_project"
# Folders of the project that a manifest is not made from: what dbt itself writes, and plugins, which a build imports (Python then
# writes beside them, which makes the folder newer).
NOT_PARSED = ("target", "logs", "dbt_packages", "__pycache__", "plugins")


def initialise_database() -> None:
    """Databases, control tables, and the demo app's two keys, which are made once and kept in endpoints.json.

    Raises: StartError when events were acknowledged into topics that no setting names any more; no service has started then.
    """
    from storage.control import acknowledged, make_engine, migrate
    from storage.control.keys import KeyKind, KeyRing
    from storage.settings import StorageSettings
    from storage.topic_changes import describe_unnamed

    settings, stack = StorageSettings(), dict(os.environ)
    if environment.uses_own_postgres(stack, StackSettings()):
        server = f"{settings.database_url.rsplit('/', 1)[0]}/postgres"
        for url in (settings.database_url, stack["TIDEMARK_DAGSTER_DATABASE_URL"]):
            create_database(server, url.rsplit("/", 1)[1])
    migrate(settings)
    engine = make_engine(settings, pool_size=1)
    try:
        problems = describe_unnamed(acknowledged.read_topics(engine), settings.topics)
        if problems:
            raise StartError("; ".join(problems))
        ring, known = KeyRing(engine), environment.read_endpoints(StackSettings())
        kinds: dict[str, KeyKind] = {"write_key": "write", "read_key": "read"}
        keys = {
            name: known[name] if name in known and ring.find(known[name]) else _make_demo_key(engine, kind)
            for name, kind in kinds.items()
        }
    finally:
        engine.dispose()
    found = environment.endpoints(StackSettings(), stack, keys)
    environment.write_private(StackSettings().endpoints_file, json.dumps(found, indent=1) + "\n")


def _make_demo_key(engine: "Engine", kind: "KeyKind") -> str:
    """A new key of the demo app. The oldest makes room: a key that was lost cannot be shown again."""
    from storage.control.keys import TooManyKeysError, create_key, revoke_key

    try:
        return create_key(engine, APP_ID, kind)
    except TooManyKeysError as error:
        revoke_key(engine, error.live[0].key_id)
        return create_key(engine, APP_ID, kind)


def initialise_topics() -> None:
    """The platform's topics."""
    from local_stack.topics import create_topics
    from storage.settings import StorageSettings

    settings = StorageSettings()
    create_topics(settings.kafka_bootstrap_servers, settings.topics.specs)


def initialise_models() -> None:
    """dbt's manifest, which Dagster's assets and the lake's tables are read from; made when it is older than the project."""
    with exclusive(DBT_PROJECT / "target" / ".parse.lock"):
        if not manifest_is_fresh(DBT_PROJECT):
            dbt = str(Path(sys.executable).with_name("dbt"))
            subprocess.run([dbt, "parse", "--profiles-dir", "."], cwd=DBT_PROJECT, check=True)


def initialise_tables() -> None:
    """The lake's tables, from the models' contracts."""
    from storage.lake import create_missing_tables
    from storage.settings import StorageSettings

    create_missing_tables(StorageSettings())


def manifest_is_fresh(project: Path) -> bool:
    """True when the manifest is newer than every file and folder that it is made from (a removed file makes its folder newer)."""
    manifest = project / "target" / "manifest.json"
    if not manifest.exists():
        return False
    inputs = (path for path in project.rglob("*") if not set(path.relative_to(project).parts) & set(NOT_PARSED))
    newest = max((path.stat().st_mtime for path in inputs), default=0.0)
    return manifest.stat().st_mtime > newest


STEPS: dict[str, Callable[[], None]] = {
    "database": initialise_database,
    "topics": initialise_topics,
    "models": initialise_models,
    "tables": initialise_tables,
}


def main() -> None:
    """Runs the step named by the only argument."""
    if len(sys.argv) != 2 or sys.argv[1] not in STEPS:
        sys.exit(f"usage: python -m local_stack.initialise {'|'.join(STEPS)}")
    try:
        with exit_on_invalid_settings():
            STEPS[sys.argv[1]]()
    except StartError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
