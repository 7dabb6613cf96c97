"""Questions about TCP ports of this machine: is one free, does one answer, which process holds one."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Below what Linux (32768) and macOS (49152) give to connections that go out: one of those must not take a port while its server starts.
THROW_AWAY_PORTS = range(20_000, 32_768)


def free_port() -> int:
    """A port that was free a moment ago and that no connection going out will take. For tests and throw-away servers."""
    for port in random.sample(THROW_AWAY_PORTS, 200):
        if is_free(port):
            return port
    raise OSError(f"200 ports between {THROW_AWAY_PORTS.start} and {THROW_AWAY_PORTS.stop} are taken")


def is_listening(port: int, host: str = LOOPBACK, timeout_seconds: float = 0.5) -> bool:
    """True when something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return True
    except OSError:
        return False


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """True when a server could bind there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def describe_holder(port: int) -> str | None:
    """ "postgres (pid 4711)" for the process that listens on the port, None when it cannot be told (another user's)."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return None
