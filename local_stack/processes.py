"""The table of the stack's processes: what runs, when it is ready, what it waits for and how it stops.

Pure but for the paths it names; `local_stack.supervisor` runs it. One-time steps are tasks of the same table (`local_stack.initialise`).
"""

import json
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from local_stack import environment, health, postgres
from local_stack.broker import Broker
from local_stack.fork_server import client
from local_stack.ports import LOOPBACK
from local_stack.process_spec import ProcessSpec
from local_stack.settings import PROJECT_ROOT, StackSettings
from local_stack.unprivileged import unprivileged_user

# The landing job may end its batch first. The others answer what they hold and go.
LANDING_STOP_SECONDS = 10.0
INFRASTRUCTURE_STOP_SECONDS = 5.0
HOT_STORE_STOP_SECONDS = 10.0
# Who answers comes first (0), then landing, which may be three seconds behind, then builds and live windows (decision 33). Each takes its
# place when it is ready.
LANDING_NICENESS = 2
BUILD_NICENESS = 5
WINDOWS_NICENESS = 5
DEFINITIONS = ("-m", "platform_assets.definitions", "--location-name", "tidemark")


def build_table(settings: StackSettings, stack: Mapping[str, str]) -> list[ProcessSpec]:
    """All processes of this stack; own servers only where the addresses say so."""
    servers: list[ProcessSpec] = []
    if environment.uses_own_postgres(stack, settings):
        servers.append(_postgres(settings))
    if environment.uses_own_kafka(stack, settings):
        servers.append(_broker(settings))
    started = {spec.name for spec in servers}
    after_postgres = tuple(started & {"postgres"})
    after_broker = tuple(started & {"broker"})
    return [
        *servers,
        _task("database", after_postgres),
        _task("topics", after_broker),
        _task("models", ()),
        _task("tables", ("database", "models")),
        *_services(settings, stack),
        *_dagster(settings),
    ]


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def _task(step: str, after: tuple[str, ...]) -> ProcessSpec:
    return ProcessSpec(
        step,
        _python("local_stack.initialise", step),
        PROJECT_ROOT,
        after=after,
        is_task=True,
    )


def _postgres(settings: StackSettings) -> ProcessSpec:
    server = postgres.Postgres(settings.home / "postgres", settings.ports.postgres)
    return ProcessSpec(
        "postgres",
        tuple(server.command()),
        Path("/"),
        health=health.Postgres(server.url()),
        user=unprivileged_user(),
        prepare=server.initialise,
        stop_signal=postgres.STOP_SIGNAL,
        stop_timeout_seconds=INFRASTRUCTURE_STOP_SECONDS,
        death_signal=postgres.DEATH_SIGNAL,
    )


def _broker(settings: StackSettings) -> ProcessSpec:
    broker = Broker(settings.home / "kafka", settings.ports.kafka, settings.ports.kafka_controller)
    return ProcessSpec(
        "broker",
        tuple(broker.command()),
        settings.home,
        health=health.Tcp(broker.port),
        prepare=broker.format,
        stop_timeout_seconds=INFRASTRUCTURE_STOP_SECONDS,
    )


def _services(settings: StackSettings, stack: Mapping[str, str]) -> list[ProcessSpec]:
    ports = settings.ports
    return [
        _driver(settings, stack, "land_bronze", LANDING_NICENESS),
        _driver(settings, stack, "realtime_windows", WINDOWS_NICENESS),
        ProcessSpec(
            "ingestion",
            _python("ingestion.api"),
            PROJECT_ROOT,
            health=health.Http(f"http://{LOOPBACK}:{ports.ingestion}/health"),
            after=("database", "topics"),
        ),
        ProcessSpec(
            "download_bridge",
            _python("ingestion.bridge"),
            PROJECT_ROOT,
            health=health.Heartbeat(stack["TIDEMARK_STORAGE_DATABASE_URL"], "download_bridge", "running"),
            after=("database", "topics"),
        ),
        *(
            _hot_store_worker(name, port, stack["TIDEMARK_STORAGE_DATABASE_URL"])
            for name, port in (
                ("hot_store_worker_1", ports.hot_store_worker_1),
                ("hot_store_worker_2", ports.hot_store_worker_2),
            )
        ),
        ProcessSpec(
            "serving",
            _python("serving"),
            PROJECT_ROOT,
            # Its own health tells of its dependencies too; that it answers at all is what readiness needs.
            health=health.Http(f"http://{LOOPBACK}:{ports.analytics}/metrics"),
            after=("tables",),
        ),
        ProcessSpec(
            "dbt_docs",
            _python("local_stack.docs_server"),
            PROJECT_ROOT,
            health=health.Http(f"http://{LOOPBACK}:{ports.dbt_docs}/"),
        ),
        ProcessSpec(
            "metrics",
            _python("local_stack.metrics"),
            PROJECT_ROOT,
            health=health.Http(f"http://{LOOPBACK}:{ports.metrics}/health"),
        ),
    ]


def _hot_store_worker(name: str, metrics_port: int, database_url: str) -> ProcessSpec:
    return ProcessSpec(
        name,
        _python("streaming.hot_store"),
        PROJECT_ROOT,
        env={"TIDEMARK_HOT_STORE_WORKER_NAME": name, "TIDEMARK_HOT_STORE_METRICS_PORT": str(metrics_port)},
        health=health.Heartbeat(database_url, name, "running"),
        after=("database", "topics"),
        stop_timeout_seconds=HOT_STORE_STOP_SECONDS,
    )


def _dagster(settings: StackSettings) -> list[ProcessSpec]:
    ports, scripts = settings.ports, Path(sys.executable).parent
    workspace = str(settings.dagster_dir / "workspace.yaml")
    webserver_url = f"http://{LOOPBACK}:{ports.dagster}"
    return [
        ProcessSpec(
            "fork_server",
            _python("local_stack.fork_server.server", str(settings.fork_server_socket)),
            PROJECT_ROOT,
            health=health.UnixSocket(settings.fork_server_socket),
            after=("database", "models"),
            # Builds are its children.
            niceness=BUILD_NICENESS,
            # Runs do not survive it anyway: their hours stay dirty and are built again.
            stop_timeout_seconds=2.0,
        ),
        ProcessSpec(
            "code_server",
            (
                str(scripts / "dagster"),
                "code-server",
                "start",
                "-h",
                LOOPBACK,
                "-p",
                str(ports.code_server),
                *DEFINITIONS,
            ),
            PROJECT_ROOT,
            health=health.GrpcHealth(ports.code_server, "DagsterApi"),
            after=("tables",),
            stop_timeout_seconds=2.0,
        ),
        ProcessSpec(
            "webserver",
            (str(scripts / "dagster-webserver"), "-h", LOOPBACK, "-p", str(ports.dagster), "-w", workspace),
            PROJECT_ROOT,
            health=health.Http(f"{webserver_url}/server_info"),
            after=("code_server",),
            stop_timeout_seconds=3.0,
        ),
        ProcessSpec(
            "daemon",
            (str(scripts / "dagster-daemon"), "run", "-w", workspace),
            PROJECT_ROOT,
            health=health.DagsterDaemons(webserver_url),
            after=("code_server", "fork_server"),
            stop_signal=signal.SIGINT,
            stop_timeout_seconds=3.0,
        ),
    ]


def _driver(settings: StackSettings, stack: Mapping[str, str], name: str, niceness: int) -> ProcessSpec:
    """A driver of Spark. A killed one leaves its scratch behind, up to 60 MB: each has a folder of its own, empty at its start."""
    scratch = Path(stack["TIDEMARK_STREAMING_SCRATCH_DIR"]) / f"tidemark-{name}-{settings.port_offset}"
    return ProcessSpec(
        name,
        _python(f"streaming.jobs.{name}"),
        settings.home / "spark",
        env={"TIDEMARK_STREAMING_SCRATCH_DIR": str(scratch)},
        health=health.Heartbeat(stack["TIDEMARK_STORAGE_DATABASE_URL"], name, "running"),
        after=("database", "topics"),
        niceness=niceness,
        prepare=partial(_empty, scratch),
        stop_timeout_seconds=LANDING_STOP_SECONDS,
    )


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def prepare_folders(settings: StackSettings) -> None:
    """Makes the folders, Dagster's home with the project's instance file and this stack's servers, and the dbt command. Idempotent."""
    for folder in (settings.logs_dir, settings.home / "spark", settings.docs_dir, settings.dagster_dir):
        folder.mkdir(parents=True, exist_ok=True)
    (settings.dagster_dir / "dagster.yaml").write_text(
        (PROJECT_ROOT / "dagster.yaml").read_text()
        + "\nrun_launcher:\n  module: local_stack.fork_server.launcher\n  class: ForkServerRunLauncher\n"
        f"  config:\n    socket: {json.dumps(str(settings.fork_server_socket))}\n"
    )
    (settings.dagster_dir / "workspace.yaml").write_text(
        "load_from:\n  - grpc_server:\n"
        f"      host: {LOOPBACK}\n      port: {settings.ports.code_server}\n      location_name: tidemark\n"
    )
    write_dbt_command(settings.dbt_command, settings.fork_server_socket)


def write_dbt_command(path: Path, socket: Path) -> None:
    """A `dbt` that the fork server runs."""
    command = shlex.join([sys.executable, "-I", "-S", client.__file__, str(socket), "dbt"])
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    path.chmod(0o755)
