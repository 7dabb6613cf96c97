"""`tidemark trace`: the way of one event, store by store. The work is in `storage.tracing`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.quarantine_options import EXIT_BAD_OUTCOME, EXIT_UNREACHABLE, AsJson, refuse, time_of

if TYPE_CHECKING:
    from storage.tracing import Copy, Trace


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="trace")(trace)


def trace(
    event_id: Annotated[
        str, typer.Argument(metavar="EVENT_ID", help="The event's id, as the answer to sending it says.")
    ],
    app_id: Annotated[str | None, typer.Option("--app", help="The app it belongs to; without it, every app's.")] = None,
    from_day: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="It occurred on this UTC day or later: less to read.")
    ] = None,
    to_day: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="It occurred on this UTC day or earlier.")
    ] = None,
    is_full: Annotated[
        bool, typer.Option("--full", help="Look also where an id that the server made cannot be, if clocks are right.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Every record of an event: edge verdict, offset, bronze version, silver or quarantine row, gold cells, publications.

    Exit 1 when it is nowhere, 3 when the database is unreachable.
    """
    import duckdb
    from sqlalchemy.exc import SQLAlchemyError

    from local_stack import environment
    from storage.control import make_engine
    from storage.settings import StorageSettings
    from storage.tracing import Bounds
    from storage.tracing import trace as follow
    from storage.tracing.bronze_scan import Days

    environment.load()
    console = Console(stderr=True)
    first, last = time_of("--from", from_day), time_of("--to", to_day)
    bounds = Bounds(Days(first and first.date(), last and last.date()), is_full)
    settings = StorageSettings()
    engine = make_engine(settings, pool_size=2)
    try:
        with console.status("looking…") as status:
            found = follow(
                settings, engine, event_id, app_id, bounds, progress=lambda text: status.update(escape(text))
            )
    except (SQLAlchemyError, duckdb.IOException) as error:
        refuse(f"The database does not answer ({type(error).__name__}); see `tidemark status`.", EXIT_UNREACHABLE)
    finally:
        engine.dispose()
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
    _print(console, found)
    if not found.is_found:
        raise typer.Exit(EXIT_BAD_OUTCOME)


def _print(console: Console, found: "Trace") -> None:
    for copy in found.copies:
        table = Table(show_header=False, title=escape(f"record {copy.coordinates}"), title_justify="left")
        for store, says in steps(copy):
            table.add_row(store, escape(says))
        console.print(table)
    for item in found.waiting:
        console.print(f"record {item.coordinates}: in Kafka, not landed in bronze yet", markup=False, highlight=False)
    if not found.is_found:
        console.print(f"{found.event_id} is in no store that was looked at.", markup=False, highlight=False)
        console.print("An id inside a body that could not be read is not found: see `tidemark quarantine list`.")
    for line in found.scanned:
        console.print(f"looked at {line}", markup=False, highlight=False)
    for line in found.unreachable:
        console.print(f"not looked at: {line}", style="yellow", markup=False, highlight=False)


def steps(copy: "Copy") -> list[tuple[str, str]]:
    """Store → what it says, in the order of the event's way."""
    return [
        ("edge", _edge(copy)),
        (
            "kafka",
            f"offset {copy.coordinates.offset} of {copy.coordinates.topic}/{copy.coordinates.partition}, {_time(copy.kafka_timestamp)}",
        ),
        ("bronze", f"{_version(copy)}, landed {_time(copy.ingested_at)}, filed under {copy.event_hour:%Y-%m-%d %H:00}"),
        *([("recovers", str(copy.redrive_of))] if copy.redrive_of else []),
        ("silver", _silver(copy)),
        *([("redriven", ", ".join(map(str, copy.redriven_as)))] if copy.redriven_as else []),
        *(("gold", f"{cell.table} {_time(cell.window_start)}: {cell.event_count} in the cell") for cell in copy.gold),
        ("published", _published(copy)),
    ]


def _edge(copy: "Copy") -> str:
    received = "" if copy.received_at is None else f", received {_time(copy.received_at)}"
    whose = f" of {copy.app_id}{received}"
    if copy.edge == "pointer":
        return f"a consumer's pointer ({copy.rejection_reason}){whose}: the event itself is another record"
    if copy.edge == "rejected":
        return f"rejected for {copy.rejection_reason}{whose}"
    how = "recovered from quarantine" if copy.redrive_of else "accepted"
    return f"{how} as {copy.contract or 'no contract: not by the edge'}{whose}"


def _version(copy: "Copy") -> str:
    if copy.bronze_version is None:
        return "version unknown"
    return (
        f"version {copy.bronze_version}"
        if copy.is_version_exact
        else f"version {copy.bronze_version} or before (the log is cut there)"
    )


def _silver(copy: "Copy") -> str:
    row = copy.silver
    if copy.edge == "pointer":
        return "pointers are in no table"
    if row is None:
        return f"not there: waits for {copy.waits_for}" if copy.waits_for else "not there; run `tidemark verify`"
    if row.table == "quarantine":
        return f"quarantine, for {row.reason} (at {row.stage})"
    if row.table == "duplicates":
        differs = ", with other bytes" if row.payload_differs else ""
        return f"duplicates: {row.winner} landed first{differs}"
    return f"events, as {row.family} {row.event_type}{', late' if row.is_late else ''}"


def _published(copy: "Copy") -> str:
    if not copy.publications:
        return "in none" if copy.edge == "pointer" else f"not yet: waits for {copy.waits_for}"
    first, newest = copy.publications[0], copy.publications[-1]
    later = len(copy.publications) - 1
    said = f"first in {first.publication_id} ({first.cause}), {_time(first.published_at)}"
    return (
        said if not later else f"{said}; its hour {later} times again, last in {newest.publication_id} ({newest.cause})"
    )


def _time(moment: object) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
