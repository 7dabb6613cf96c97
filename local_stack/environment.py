"""The environment of a stack: the settings of every package as KEY=value, made once by the supervisor and read by the command line.

What the caller has set himself wins: an own Kafka, PostgreSQL or S3 is only other values, and then the stack does not start its own.
Holds no defaults of other packages; it sets only what depends on where the stack is.
"""

import json
import os
import shlex
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from ingestion.contracts.topics import TopicNames
from local_stack.class_archive import archive_file
from local_stack.ports import LOOPBACK
from local_stack.settings import StackSettings
from runtime.aliases import second_names
from storage.settings import BUCKET_PATHS, TOPIC_VARIABLES, StorageSettings

PREFIX = "TIDEMARK_"
# Set by `tidemark env` beside the values of a stack, so that another stack started from that shell does not take them for the user's own.
ORIGIN_VARIABLE = "TIDEMARK_ENV_OF"
OWN_VARIABLES = ("TIDEMARK_HOME", "TIDEMARK_PORT_OFFSET", "TIDEMARK_CACHE", ORIGIN_VARIABLE)
BUCKET_VARIABLE = "TIDEMARK_STORAGE_S3_BUCKET"
# What the JVM's second compiler takes of two processors for its first minutes costs more than its code saves there (decision 32).
FEW_PROCESSORS = 2
FIRST_COMPILER_ALONE = "-XX:TieredStopAtLevel=1"


def compute(settings: StackSettings, password: str, spark_jars: str, processors: int) -> dict[str, str]:
    """The values that follow from home, ports and processors, and the topics' names: whoever reads the file means this stack's. Pure."""
    home, ports = settings.home, settings.ports
    server = f"postgresql://tidemark:{password}@{LOOPBACK}:{ports.postgres}"
    return {
        "TIDEMARK_HOME": str(home),
        "TIDEMARK_PORT_OFFSET": str(settings.port_offset),
        "TIDEMARK_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{ports.kafka}",
        **{TOPIC_VARIABLES[role]: name for role, name in TopicNames().by_role.items()},
        "TIDEMARK_STORAGE_DATABASE_URL": f"{server}/tidemark",
        "TIDEMARK_STORAGE_BRONZE_URI": str(home / "bronze" / "events"),
        "TIDEMARK_STORAGE_LAKE_URI": str(home / "lake"),
        "TIDEMARK_STORAGE_BUILDS_DIR": str(home / "builds"),
        "TIDEMARK_STORAGE_EXTENSIONS_DIR": str(home / "duckdb_extensions"),
        "TIDEMARK_DAGSTER_DATABASE_URL": f"{server}/dagster",
        "TIDEMARK_INGESTION_HOST": LOOPBACK,
        "TIDEMARK_INGESTION_PORT": str(ports.ingestion),
        "TIDEMARK_SERVING_HOST": LOOPBACK,
        "TIDEMARK_SERVING_PORT": str(ports.analytics),
        "TIDEMARK_STREAMING_JARS": spark_jars,
        "TIDEMARK_STREAMING_CLASS_ARCHIVE": str(archive_file()),
        "TIDEMARK_STREAMING_DRIVER_JAVA_OPTIONS": FIRST_COMPILER_ALONE if processors <= FEW_PROCESSORS else "",
        "TIDEMARK_STREAMING_CHECKPOINT_DIR": str(home / "checkpoints" / "land_bronze"),
        "TIDEMARK_STREAMING_WINDOWS_CHECKPOINT_DIR": str(home / "checkpoints" / "realtime_windows"),
        "TIDEMARK_STREAMING_SCRATCH_DIR": str(home / "spark"),
        # Below the supervisor's own bound, so that a batch can end before the kill.
        "TIDEMARK_STREAMING_STOP_TIMEOUT_SECONDS": "8",
        "TIDEMARK_PLATFORM_DOCS_DIR": str(settings.docs_dir),
        "TIDEMARK_PLATFORM_DBT_EXECUTABLE": str(settings.dbt_command),
        "DAGSTER_HOME": str(settings.dagster_dir),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        # After a day without Dagster a look at bronze's commits takes minutes, and moves the cursor only at its end.
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "900",
        "DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS": "900",
        # A run over a year of days plans and reports 350 events per asset: one by one that takes minutes, in batches seconds.
        "DAGSTER_EVENT_BATCH_SIZE": "1000",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def merge(computed: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The computed values under the caller's own TIDEMARK_* ones, without those that another stack's `tidemark env` exported."""
    origin = environ.get(ORIGIN_VARIABLE)
    foreign = read_file(Path(origin)) if origin else {}
    own = {
        key: value
        for key, value in environ.items()
        if key.startswith(PREFIX) and key not in OWN_VARIABLES and foreign.get(key) != value
    }
    for name in second_names(StorageSettings):
        if name.other in environ:
            own.setdefault(name.own, environ[name.other])
    if bucket := own.get(BUCKET_VARIABLE):
        for field, path in BUCKET_PATHS.items():
            own.setdefault(f"TIDEMARK_STORAGE_{field.upper()}", f"s3://{bucket}/{path}")
    return {**computed, **own}


def process_environment(stack: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """What a supervised process gets: the caller's environment, the stack's values, and this interpreter's scripts first on PATH."""
    inherited = {key: value for key, value in environ.items() if not key.startswith(PREFIX) or key == "TIDEMARK_CACHE"}
    scripts = str(Path(sys.executable).parent)
    return {
        **inherited,
        **stack,
        "PATH": f"{scripts}{os.pathsep}{environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        # glibc's arenas per thread cost a service of many threads a hundred MiB.
        "MALLOC_ARENA_MAX": "2",
        "TZ": "UTC",
    }


def uses_own_kafka(stack: Mapping[str, str], settings: StackSettings) -> bool:
    """False when the address is not the one that our broker would have."""
    return stack["TIDEMARK_KAFKA_BOOTSTRAP_SERVERS"] == f"{LOOPBACK}:{settings.ports.kafka}"


def uses_own_postgres(stack: Mapping[str, str], settings: StackSettings) -> bool:
    """False when the database is not on the port that our server would have."""
    return f"@{LOOPBACK}:{settings.ports.postgres}/" in stack["TIDEMARK_STORAGE_DATABASE_URL"]


def write_private(path: Path, text: str) -> None:
    """Replaces the file in one step; it is never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
    unfinished.replace(path)


def write_file(path: Path, values: Mapping[str, str]) -> None:
    """Writes KEY=value lines, mode 0600."""
    write_private(path, "".join(f"{key}={value}\n" for key, value in values.items()))


def read_file(path: Path) -> dict[str, str]:
    """The values of a file that `write_file` made; empty when there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def export_lines(path: Path) -> list[str]:
    """`export KEY='value'` for a shell."""
    values = {**read_file(path), ORIGIN_VARIABLE: str(path)}
    return [f"export {key}={shlex.quote(value)}" for key, value in values.items()]


def load(settings: StackSettings | None = None, environ: MutableMapping[str, str] | None = None) -> None:
    """Puts the stack's values into the environment where it has none. For command-line entry points; nothing without a stack."""
    settings = settings or StackSettings()
    target = os.environ if environ is None else environ
    for key, value in read_file(settings.environment_file).items():
        target.setdefault(key, value)


def read_endpoints(settings: StackSettings) -> dict[str, str]:
    """endpoints.json; empty before the first start."""
    try:
        found: dict[str, str] = json.loads(settings.endpoints_file.read_text())
    except (OSError, ValueError):
        return {}
    return found


def endpoints(settings: StackSettings, stack: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, str]:
    """What endpoints.json holds. Pure."""
    ports = settings.ports
    return {
        "ingestion": f"http://{LOOPBACK}:{ports.ingestion}",
        "analytics": f"http://{LOOPBACK}:{ports.analytics}",
        "dagster": f"http://{LOOPBACK}:{ports.dagster}",
        "dbt_docs": f"http://{LOOPBACK}:{ports.dbt_docs}",
        "kafka": stack["TIDEMARK_KAFKA_BOOTSTRAP_SERVERS"],
        "database": stack["TIDEMARK_STORAGE_DATABASE_URL"],
        "write_key": keys["write_key"],
        "read_key": keys["read_key"],
    }
