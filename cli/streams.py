"""`tidemark streams list, forget`: what runs continuously, as its heartbeats tell."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.outcomes import EXIT_BAD, exit_codes

# Heartbeats come every few seconds: one that was heard this lately is alive.
ALIVE_SECONDS = 30.0

Json = Annotated[bool, typer.Option("--json", help="Data as JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(help="What runs continuously, as its heartbeats tell.", no_args_is_help=True)
    group.command(name="list")(list_streams)
    group.command(name="forget")(forget)
    app.add_typer(group, name="streams")


def list_streams(as_json: Json = False) -> None:
    """List the heartbeats: when each was heard last, its state, and how many records wait for it."""
    from local_stack import environment
    from storage.control import make_engine
    from storage.control.heartbeats import read_all
    from storage.settings import StorageSettings

    environment.load()
    with exit_codes(Console(stderr=True)):
        found = read_all(make_engine(StorageSettings(), pool_size=1))
    if as_json:
        told = [{"name": beat.name, "beat_at": beat.beat_at.isoformat(), "details": beat.details} for beat in found]
        typer.echo(json.dumps(told))
        return
    now = datetime.now(UTC)
    table = Table("stream", "heard", "state", "waiting", box=None, pad_edge=False)
    for beat in found:
        age = f"{max(0, (now - beat.beat_at).total_seconds()):.0f} s ago"
        table.add_row(beat.name, age, str(beat.details.get("state", "")), _waiting(beat.details))
    Console().print(table)


def _waiting(details: Mapping[str, Any]) -> str:
    lag = details.get("lag")
    return f"{sum(lag.values()):,}" if isinstance(lag, Mapping) else ""


def forget(
    name: Annotated[str, typer.Argument(help="Name of the stream, as `tidemark streams list` shows it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a stream that is gone on purpose, and resolve its alerts. Exit 1 when it lives, or there is none."""
    from local_stack import environment
    from storage.control import heartbeats, make_engine
    from storage.settings import StorageSettings

    environment.load()
    console = Console(stderr=True)
    with exit_codes(console):
        engine = make_engine(StorageSettings(), pool_size=1)
        act = heartbeats.is_silent if dry_run else heartbeats.forget
        can_go = act(engine, name, ALIVE_SECONDS)
    if as_json:
        typer.echo(json.dumps({"name": name, "forgotten": can_go and not dry_run, "dry_run": dry_run}))
    if not can_go:
        console.print(
            f"There is no stream {name} that has been silent for {ALIVE_SECONDS:.0f} s. See `tidemark streams list`; "
            "one that lives is stopped first.",
            markup=False,
        )
        raise typer.Exit(EXIT_BAD)
    console.print(
        f"{name} would be forgotten." if dry_run else f"{name} is forgotten, and its alerts are resolved.", markup=False
    )
