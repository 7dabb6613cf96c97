"""Health checks: each answers "is it ready now?" within about two seconds and never raises. No state, no restarts."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from local_stack.fork_server import client
from local_stack.ports import LOOPBACK, is_listening

TIMEOUT_SECONDS = 2.0


class HealthCheck(Protocol):
    """`age_seconds` is how long the process has been running: what it left behind earlier does not count."""

    def is_healthy(self, age_seconds: float, /) -> bool:
        """True when the process does its work."""
        ...


@dataclass(frozen=True)
class Alive:
    """Healthy once it has run for a while: for processes that nobody can ask."""

    seconds: float = 1.0

    def is_healthy(self, age_seconds: float, /) -> bool:
        return age_seconds >= self.seconds


@dataclass(frozen=True)
class Tcp:
    """Something accepts connections on the port."""

    port: int

    def is_healthy(self, _age_seconds: float, /) -> bool:
        return is_listening(self.port)


@dataclass(frozen=True)
class UnixSocket:
    """Something accepts connections on the socket."""

    path: Path

    def is_healthy(self, _age_seconds: float, /) -> bool:
        try:
            client.connect(str(self.path), timeout_seconds=0).close()
        except client.ForkServerError:
            return False
        return True


@dataclass(frozen=True)
class Http:
    """The address answers below 300."""

    url: str

    def is_healthy(self, _age_seconds: float, /) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - our own http address
                return bool(answer.status < 300)
        except (OSError, ValueError):
            return False


@dataclass(frozen=True)
class DagsterDaemons:
    """Every daemon that the Dagster instance needs has a fresh heartbeat, as its webserver tells."""

    webserver_url: str

    def is_healthy(self, _age_seconds: float, /) -> bool:
        query = {"query": "{instance{daemonHealth{allDaemonStatuses{healthy required}}}}"}
        request = urllib.request.Request(  # noqa: S310 - our own http address
            f"{self.webserver_url}/graphql",
            data=json.dumps(query).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                statuses = json.load(answer)["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return all(status["healthy"] for status in statuses if status["required"])


@dataclass(frozen=True)
class GrpcHealth:
    """A gRPC server says SERVING for the service, by gRPC's own health protocol (one string in, one enum out)."""

    port: int
    service: str

    def is_healthy(self, _age_seconds: float, /) -> bool:
        if not is_listening(self.port):
            return False
        import grpc  # type: ignore[import-untyped]  # grpcio brings no stubs

        name = self.service.encode()
        request = b"\x0a" + bytes([len(name)]) + name
        with grpc.insecure_channel(f"{LOOPBACK}:{self.port}") as channel:
            try:
                answer: bytes = channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=TIMEOUT_SECONDS)
            except grpc.RpcError:
                return False
        return answer == b"\x08\x01"


@dataclass(frozen=True)
class Postgres:
    """The server lets us in."""

    url: str

    def is_healthy(self, _age_seconds: float, /) -> bool:
        from local_stack.postgres import is_ready

        return is_ready(self.url)


@dataclass(frozen=True)
class Heartbeat:
    """A row of control.heartbeats, written after the process started and not older than the bound, that tells the state."""

    database_url: str
    name: str
    state: str
    max_age_seconds: float = 30.0

    def is_healthy(self, age_seconds: float, /) -> bool:
        import psycopg2

        try:
            connection = psycopg2.connect(self.database_url, connect_timeout=2)
            try:
                with connection.cursor() as cursor:
                    cursor.execute(
                        "select extract(epoch from clock_timestamp() - beat_at) from control.heartbeats"
                        " where name = %s and details ->> 'state' = %s",
                        (self.name, self.state),
                    )
                    row = cursor.fetchone()
            finally:
                connection.close()
        except psycopg2.Error:
            return False
        return row is not None and float(row[0]) <= min(self.max_age_seconds, age_seconds)
