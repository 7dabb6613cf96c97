"""`tidemark settle`: waits until everything that Kafka holds at the call is published, and the stack's analytics API reads it."""

import json
import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

EXIT_UNREACHABLE = 3
EXIT_TIMEOUT = 4
POLL_SECONDS = 1.0
READ_POLL_SECONDS = 0.1


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="settle")(settle)


def settle(
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")] = False,
) -> None:
    """Wait until everything accepted so far is published and read. Exit 4 when it is not in time, 3 when a service is unreachable."""
    from kafka.errors import KafkaError
    from sqlalchemy.exc import OperationalError

    from local_stack import environment

    console = Console(stderr=True)
    environment.load()
    started = time.monotonic()
    try:
        with console.status("waiting for publication…") as status:
            reason = wait_until_settled(timeout, lambda text: status.update(f"waiting for {text}"))
    except (KafkaError, OperationalError, OSError) as error:
        console.print(f"A service is unreachable ({type(error).__name__}). See `tidemark status`.")
        raise typer.Exit(EXIT_UNREACHABLE) from error
    waited_seconds = round(time.monotonic() - started, 1)
    if as_json:
        typer.echo(
            json.dumps({"settled": reason is None, "waiting_for": reason or "", "waited_seconds": waited_seconds})
        )
    if reason is not None:
        console.print(f"Not settled after {waited_seconds} s: waiting for {reason}.")
        raise typer.Exit(EXIT_TIMEOUT)
    console.print(f"Settled after {waited_seconds} s: everything accepted before the call is published.")


def wait_until_settled(
    timeout_seconds: float,
    progress: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str | None:
    """None once everything that Kafka held at the call is published and read; else what it still waited for when the time was over."""
    from storage import publications
    from storage.control import make_engine
    from storage.settings import StorageSettings
    from storage.settlement import Target, check, read_end_offsets

    settings = StorageSettings()
    engine = make_engine(settings, pool_size=1)
    try:
        target = Target(read_end_offsets(settings, settings.topics.landed))
        deadline = clock() + timeout_seconds
        landed_version: int | None = None
        while True:
            look = check(settings, engine, target, landed_version)
            if look.settled:
                break
            landed_version = look.landed_version
            progress(look.waiting_for)
            if clock() >= deadline:
                return look.waiting_for
            sleep(POLL_SECONDS)
        newest = publications.latest(engine)
    finally:
        engine.dispose()
    while newest is not None and is_read_before(newest.publication_id):
        waiting_for = f"the analytics API to read publication {newest.publication_id}"
        progress(waiting_for)
        if clock() >= deadline:
            return waiting_for
        sleep(READ_POLL_SECONDS)
    return None


def is_read_before(publication_id: int) -> bool:
    """True while the stack's analytics API answers from an earlier publication. One that is not there answers nothing wrong."""
    import httpx

    from local_stack.environment import read_endpoints
    from local_stack.settings import StackSettings

    url = read_endpoints(StackSettings()).get("analytics")
    if url is None:
        return False
    try:
        read = httpx.get(f"{url}/health", timeout=5).json()["publication"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False
    return read is None or read < publication_id
