"""The fork server on real programs: dbt through its stand-in, Dagster runs through the run launcher."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.launcher.base import LaunchRunContext

from local_stack.child import wrap
from local_stack.fork_server import client
from local_stack.fork_server.launcher import ForkServerRunLauncher
from local_stack.processes import write_dbt_command
from local_stack.settings import PROJECT_ROOT

START_SECONDS = 60
JOBS = """
import time
import dagster as dg

@dg.op
def wait(context):
    for _ in range(600):
        time.sleep(0.1)

@dg.op
def quick():
    return 1

@dg.job
def long_job():
    wait()

@dg.job
def quick_job():
    quick()

defs = dg.Definitions(jobs=[long_job, quick_job])
"""


@dataclass(frozen=True)
class Server:
    """A running fork server, deeper in the file system than a socket's address may be long."""

    process: psutil.Process
    socket: Path
    dbt: Path
    log: Path

    def run_dbt(self, *arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
        """A dbt command by its stand-in."""
        return subprocess.run(
            [self.dbt, *arguments], capture_output=True, text=True, timeout=60, check=False, **options
        )  # type: ignore[call-overload,no-any-return]


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Waits for the condition. Fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dagster_home")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, dagster_home: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fork_server") / ("deep" * 30)
    folder.mkdir()
    socket, log = folder / "server.sock", folder / "log"
    (dagster_home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_launcher:\n  module: local_stack.fork_server.launcher\n  class: ForkServerRunLauncher\n"
        f"  config: {{socket: {socket}}}\n"
    )
    write_dbt_command(folder / "dbt", socket)
    with log.open("w") as output:
        process = subprocess.Popen(
            wrap(
                [sys.executable, "-m", "local_stack.fork_server.server", str(socket), "--no-recovery"], signal.SIGKILL
            ),
            cwd=PROJECT_ROOT,
            env={**os.environ, "DAGSTER_HOME": str(dagster_home)},
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: socket.exists() or process.poll() is not None, START_SECONDS)
        assert process.poll() is None, log.read_text()
        yield Server(psutil.Process(process.pid), socket, folder / "dbt", log)
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()


def test_forks_start_from_one_thread(server: Server) -> None:
    assert server.process.num_threads() == 1
    assert (server.socket.stat().st_mode & 0o777) == 0o600


def test_dbt_behaves_as_the_installed_one(server: Server) -> None:
    installed = subprocess.run(
        [Path(sys.executable).with_name("dbt"), "no-such-command"], capture_output=True, text=True, check=False
    )
    forked = server.run_dbt("no-such-command")
    assert forked.returncode == installed.returncode == 2
    assert (forked.stdout, forked.stderr) == (installed.stdout, installed.stderr)


def test_a_program_has_the_callers_directory_and_environment(server: Server, tmp_path: Path) -> None:
    parsed = server.run_dbt(
        "parse",
        "--profiles-dir",
        ".",
        cwd=PROJECT_ROOT / "dbt_project",
        env={**os.environ, "DBT_TARGET_PATH": str(tmp_path), "DBT_LOG_PATH": str(tmp_path)},
    )
    assert parsed.returncode == 0, parsed.stdout
    assert (tmp_path / "manifest.json").exists()


def test_two_programs_at_once_know_nothing_of_each_other(server: Server, tmp_path: Path) -> None:
    def start(name: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "DBT_TARGET_PATH": str(tmp_path / name), "DBT_LOG_PATH": str(tmp_path / name)}
        return subprocess.Popen(
            [server.dbt, "parse", "--profiles-dir", "."],
            cwd=PROJECT_ROOT / "dbt_project",
            env=environment,
            stdout=subprocess.DEVNULL,
        )

    assert [process.wait(60) for process in [start("one"), start("two")]] == [0, 0]
    assert (tmp_path / "one" / "manifest.json").exists()
    assert (tmp_path / "two" / "manifest.json").exists()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def start_long_program(server: Server, folder: Path) -> "tuple[subprocess.Popen[bytes], psutil.Process]":
    """A Dagster code server that listens in the folder, attached, and its process.

    Known by its working directory: while the fork server starts itself again, its imports start helpers that are its children too.
    """
    argv = [sys.executable, client.__file__, str(server.socket), "dagster", "api", "grpc", "--socket", "grpc.sock"]
    caller = subprocess.Popen(
        [*argv, "--empty-working-directory", "-m", "platform_assets.definitions"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: (folder / "grpc.sock").exists(), START_SECONDS)
    (program,) = [child for child in server.process.children() if working_directory(child) == folder]
    return caller, program


def working_directory(process: psutil.Process) -> Path | None:
    """None when it has ended."""
    try:
        return Path(process.cwd())
    except psutil.Error:
        return None


def test_a_signal_to_the_caller_reaches_the_program(server: Server, short_folder: Path) -> None:
    caller, program = start_long_program(server, short_folder)
    caller.send_signal(signal.SIGTERM)
    caller.wait(30)
    wait_until(lambda: not program.is_running())


def test_a_program_does_not_outlive_its_killed_caller(server: Server, short_folder: Path) -> None:
    caller, program = start_long_program(server, short_folder)
    caller.kill()
    caller.wait()
    wait_until(lambda: not program.is_running())


def test_without_a_server_the_caller_says_so(tmp_path: Path) -> None:
    with pytest.raises(client.ForkServerError, match=r"no fork server at .*nothing\.sock"):
        client.connect(str(tmp_path / "nothing.sock"), timeout_seconds=0)
    with pytest.raises(client.ForkServerError):
        client.ask(str(tmp_path / "nothing.sock"), {"do": "signal", "name": "x", "signal": 15}, timeout_seconds=0)


def test_nonsense_is_answered_and_the_server_goes_on(server: Server) -> None:
    for message in ({}, {"do": "start", "program": "sh", "arguments": []}, {"do": "fly", "name": "x"}):
        with pytest.raises(client.ForkServerError, match=r"KeyError|ValueError"):
            client.ask(str(server.socket), message)
    client.connect(str(server.socket)).close()
    assert server.run_dbt("--help").returncode == 0


@pytest.fixture(scope="module")
def jobs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "jobs.py"
    path.write_text(JOBS)
    return path


@pytest.fixture
def instance(server: Server, dagster_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    with dg.DagsterInstance.get() as found:
        assert isinstance(found.run_launcher, ForkServerRunLauncher)
        yield found


def launch(instance: dg.DagsterInstance, jobs_file: Path, name: str) -> str:
    """Id of a run of the job, launched as Dagster's daemon does it."""
    job = ReconstructableJob.for_file(str(jobs_file), name)
    run = instance.create_run_for_job(
        job.get_definition(), status=dg.DagsterRunStatus.STARTING, job_code_origin=job.get_python_origin()
    )
    instance.run_launcher.launch_run(LaunchRunContext(run, None))
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_is_executed(instance: dg.DagsterInstance, jobs_file: Path) -> None:
    run_id = launch(instance, jobs_file, "quick_job")
    wait_until(lambda: status(instance, run_id) is dg.DagsterRunStatus.SUCCESS)


def test_a_run_can_be_cancelled(instance: dg.DagsterInstance, jobs_file: Path) -> None:
    run_id = launch(instance, jobs_file, "long_job")
    wait_until(lambda: status(instance, run_id) is dg.DagsterRunStatus.STARTED)
    assert instance.run_launcher.terminate(run_id)
    wait_until(lambda: status(instance, run_id) is dg.DagsterRunStatus.CANCELED)
    assert not instance.run_launcher.terminate(run_id)


def test_a_killed_run_is_failed_at_once(instance: dg.DagsterInstance, jobs_file: Path, server: Server) -> None:
    run_id = launch(instance, jobs_file, "long_job")
    wait_until(lambda: status(instance, run_id) is dg.DagsterRunStatus.STARTED)
    max(server.process.children(), key=lambda child: child.create_time()).kill()
    wait_until(lambda: status(instance, run_id) is dg.DagsterRunStatus.FAILURE, 10)


def test_changed_code_is_what_the_next_program_runs(server: Server, short_folder: Path) -> None:
    """Last: the server starts itself anew."""
    message = "our code has changed"
    earlier = server.log.read_text().count(message)  # another process's tests may have written to the tree
    for name in ("forked", "afresh"):
        (short_folder / name).mkdir()
    assert server.run_dbt("--help").returncode == 0  # a change of before is noticed now, not by the first
    first, forked = start_long_program(server, short_folder / "forked")
    assert "local_stack.fork_server.server" in forked.cmdline()
    Path(client.__file__).with_name("__init__.py").touch()
    second, started_afresh = start_long_program(server, short_folder / "afresh")
    assert "local_stack.fork_server.server" not in started_afresh.cmdline()
    assert server.log.read_text().count(message) == earlier, "it has children"
    for caller in (first, second):
        caller.kill()
        caller.wait()
    wait_until(lambda: server.log.read_text().count(message) > earlier)
    assert server.run_dbt("--help").returncode == 0
    assert server.process.is_running()
