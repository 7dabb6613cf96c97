"""The broker and PostgreSQL as the stack runs them: started twice on the same data, killed under load, as root or not."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import psycopg2
import pytest

from ingestion.contracts.topics import LIVE_TOPIC, TopicNames
from local_stack import child
from local_stack.broker import Broker, running_broker
from local_stack.ports import free_port, is_listening
from local_stack.postgres import DEATH_SIGNAL, STOP_SIGNAL, Postgres, create_database, is_ready
from local_stack.topics import create_topics
from local_stack.unprivileged import unprivileged_user
from local_stack.waiting import wait_until

pytestmark = pytest.mark.integration


@contextmanager
def running(argv: list[str], death_signal: int, user: str | None, log_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log_file.open("ab") as log:
        process = subprocess.Popen(child.wrap(argv, death_signal, user), stdout=log, stderr=log, cwd="/")
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "postgres", free_port())
    yield server
    server.remove_data()


def start_postgres(server: Postgres) -> AbstractContextManager[subprocess.Popen[bytes]]:
    server.initialise()
    return running(server.command(), DEATH_SIGNAL, unprivileged_user(), server.home / "log")


def read_count(url: str) -> int:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from kept")
            row = cursor.fetchone()
            assert row is not None
            return int(row[0])
    finally:
        connection.close()


def write_row(url: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("create table if not exists kept(n int)")
            cursor.execute("insert into kept values (1)")
    finally:
        connection.close()


@pytest.mark.feature("S0-20")
def test_postgres_keeps_what_was_committed_when_it_is_killed(server: Postgres) -> None:
    with start_postgres(server) as process:
        wait_until(lambda: is_ready(server.url()), "PostgreSQL", 30)
        url = create_database(server.url(), "tidemark")
        write_row(url)
        process.kill()
        process.wait()
    with start_postgres(server) as process:
        wait_until(lambda: is_ready(url), "PostgreSQL after the kill", 30, is_hopeless=lambda: ended(process))
        assert read_count(url) == 1
        process.send_signal(STOP_SIGNAL)
        assert process.wait(10) == 0


def ended(process: subprocess.Popen[bytes]) -> str | None:
    return None if process.poll() is None else f"ended with {process.returncode}"


def test_postgres_starts_over_the_lock_of_a_dead_server_whose_id_lives_again(server: Postgres) -> None:
    # Regression: in a container, process ids repeat after a restart; PostgreSQL takes another process for its predecessor.
    server.initialise()
    (server.data_dir / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data_dir}\n")
    with start_postgres(server):
        wait_until(lambda: is_ready(server.url()), "PostgreSQL", 30)


def test_postgres_begins_again_when_its_first_start_was_cut_off(server: Postgres) -> None:
    # Regression: initdb writes PG_VERSION first; what it left was taken for a server, which could never start.
    server.initialise()
    for name in ("global", "base"):
        shutil.rmtree(server.data_dir / name)
    (server.home / "initialised").unlink()
    with start_postgres(server):
        wait_until(lambda: is_ready(server.url()), "PostgreSQL", 30)
        url = create_database(server.url(), "tidemark")
        write_row(url)
    (server.home / "initialised").unlink()  # as older versions left it
    with start_postgres(server):
        wait_until(lambda: is_ready(url), "PostgreSQL", 30)
        assert read_count(url) == 1


def test_postgres_wants_its_password(server: Postgres) -> None:
    with start_postgres(server):
        wait_until(lambda: is_ready(server.url()), "PostgreSQL", 30)
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(server.url().replace(server.password_file.read_text(), "wrong"))
    assert server.password_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change to another user")
def test_postgres_never_runs_as_root(server: Postgres) -> None:
    with start_postgres(server) as process:
        wait_until(lambda: is_ready(server.url()), "PostgreSQL", 30)
        assert psutil.Process(process.pid).username() == unprivileged_user() != "root"
        assert server.data_dir.stat().st_mode & 0o077 == 0


def test_a_server_dies_with_whoever_started_it(tmp_path: Path) -> None:
    code = (
        "import os, signal, subprocess, sys, time; from local_stack import child;"
        "p = subprocess.Popen(child.wrap([sys.executable, '-c', 'import time; time.sleep(600)'], signal.SIGKILL), "
        "start_new_session=True); print(p.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        try:
            # A process shows no arguments for a moment while it becomes another program.
            wait_until(
                lambda: psutil.Process(pid).cmdline()[-1:] == ["import time; time.sleep(600)"],
                "the launcher to step aside",
                10,
            )
        finally:
            parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(pid), "the child to die", 10)


@pytest.mark.feature("S0-4")
def test_the_broker_keeps_topics_and_records_over_restarts(tmp_path: Path) -> None:
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

    port = free_port()
    with running_broker(tmp_path / "kafka", port) as bootstrap:
        assert create_topics(bootstrap) == sorted(TopicNames().by_role.values())
        assert create_topics(bootstrap) == []
        producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
        producer.send(LIVE_TOPIC, b"value", key=b"user").get(30)
        producer.close()
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        described = str(admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, LIVE_TOPIC)]))
        admin.close()
        assert "LogAppendTime" in described
    assert not is_listening(port)
    with running_broker(tmp_path / "kafka", port) as bootstrap:
        assert create_topics(bootstrap) == []
        consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        ends = consumer.end_offsets([TopicPartition(LIVE_TOPIC, partition) for partition in range(4)])
        consumer.close()
        assert sum(ends.values()) == 1


def test_the_broker_recovers_from_a_kill(tmp_path: Path) -> None:
    from kafka import KafkaProducer

    broker = Broker(tmp_path / "kafka", free_port(), free_port())
    for attempt in range(2):
        broker.format()
        with running(broker.command(), signal.SIGKILL, None, tmp_path / "log"):
            wait_until(lambda: is_listening(broker.port), "Kafka", 60)
            create_topics(broker.bootstrap)
            producer = KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
            sent = [producer.send(LIVE_TOPIC, b"x", partition=0).get(30).offset for _ in range(3)]
            producer.close()
            assert sent == [attempt * 3, attempt * 3 + 1, attempt * 3 + 2]


def test_a_program_hears_interrupts_though_a_shell_had_them_ignored() -> None:
    """Regression: started from a shell's background, a code server of Dagster ignored SIGTERM, which it handles as it finds SIGINT."""
    asked = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    argv = child.wrap([sys.executable, "-c", asked], signal.SIGKILL)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert answer.stdout == "True\n"
