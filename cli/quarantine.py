"""`tidemark quarantine`: what was rejected and why, one record whole, and the way out (`cli.quarantine_redrive`).

`show` prints a payload, which may be personal data, because an operator asked for this one; nothing else here does, and no log.
"""

import base64
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli import quarantine_redrive
from cli.quarantine_options import (
    EXIT_BAD_OUTCOME,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    AppId,
    AsJson,
    FromAt,
    Reasons,
    Stages,
    Status,
    ToAt,
    refuse,
    selection_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestion.contracts.validation import Rejection
    from ingestion.redrive.judging import Recovered, Skipped
    from storage.landed_records import Landed
    from storage.quarantine import Entry, Quarantine

_SHOWN_BYTES = 4096


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(help="Rejected records: list, show, and bring back as events.", no_args_is_help=True)
    group.command(name="list")(list_)
    group.command(name="show")(show)
    group.command(name="redrive")(quarantine_redrive.redrive)
    app.add_typer(group, name="quarantine")


def list_(
    reason: Reasons = None,
    app_id: AppId = None,
    from_at: FromAt = None,
    to_at: ToAt = None,
    stage: Stages = None,
    status: Annotated[Status | None, typer.Option("--status", help="Still there, or redriven. Default: both.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows to list, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What is in quarantine at the newest publication: counts by reason, then rows. No payload is printed."""
    from local_stack import environment

    environment.load()
    selection = selection_of(reason, app_id, from_at, to_at, stage, status, limit)

    def read(quarantine: "Quarantine") -> dict[str, Any]:
        counted = quarantine.counts(selection)
        entries = quarantine.entries(selection)
        if not as_json:
            _print_list(counted, entries)
        names = ("reason", "stage", "status", "count")
        return {
            "publication": quarantine.publication.publication_id if quarantine.publication else None,
            "total": sum(row[3] for row in counted),
            "counts": [dict(zip(names, row, strict=True)) for row in counted],
            "rows": [entry.as_dict() for entry in entries],
        }

    found = _reading(read)
    if as_json:
        typer.echo(json.dumps(found))


def show(
    record: Annotated[str, typer.Argument(metavar="ID", help="topic/partition/offset, as `list` prints it.")],
    as_json: AsJson = False,
) -> None:
    """One record whole: its bytes, headers and place, why it was rejected, and what to try. Exit 1 when it is not there."""
    from ingestion.contracts.quarantine import Coordinates, CoordinatesError
    from local_stack import environment

    environment.load()
    try:
        coordinates = Coordinates.parse(record)
    except CoordinatesError as error:
        refuse(str(error), EXIT_USAGE)

    def read(quarantine: "Quarantine") -> dict[str, Any] | None:
        entry = quarantine.find(coordinates)
        if entry is None:
            return None
        landed = quarantine.landed(entry)
        verdict = quarantine_redrive.judge_one(quarantine.record(entry))
        described = _describe(entry, landed, verdict)
        if not as_json:
            _print_record(described, landed)
        return described

    found = _reading(read)
    if found is None:
        refuse(
            f"{coordinates} is not in quarantine at the newest publication. "
            "What was rejected just now is there once `tidemark settle` returns.",
            EXIT_BAD_OUTCOME,
        )
    if as_json:
        typer.echo(json.dumps(found))


def _reading(read: Any) -> Any:
    """What `read` makes of the open quarantine. Ends the command with 3 when something that it needs is away."""
    import duckdb
    from sqlalchemy.exc import SQLAlchemyError

    from ingestion.schema_registry.store import StoreUnavailableError
    from storage.bronze import BronzeError
    from storage.control import make_engine
    from storage.quarantine import open_quarantine
    from storage.settings import StorageSettings

    settings = StorageSettings()
    engine = make_engine(settings, pool_size=2)
    try:
        with Console(stderr=True).status("reading the quarantine…"), open_quarantine(settings, engine) as quarantine:
            return read(quarantine)
    except SQLAlchemyError as error:
        refuse(f"The database does not answer ({type(error).__name__}); see `tidemark status`.", EXIT_UNREACHABLE)
    except (BronzeError, StoreUnavailableError, duckdb.IOException) as error:
        refuse(f"{error}", EXIT_UNREACHABLE)
    finally:
        engine.dispose()


def _print_list(counted: "Sequence[tuple[str, str, str, int]]", entries: "list[Entry]") -> None:
    console = Console(stderr=True)
    totals = Table("reason", "stage", "status", "records")
    for reason, stage, status, count in counted:
        totals.add_row(escape(reason), stage, status, str(count))
    console.print(totals)
    if not entries:
        console.print("Nothing in quarantine fits.")
        return
    rows = Table("id", "app", "reason", "received (UTC)", "bytes", "status")
    for entry in entries:
        received = f"{entry.received_at or entry.event_hour:%Y-%m-%d %H:%M:%S}"
        status = entry.status if entry.redriven_as is None else f"redriven as {entry.redriven_as}"
        rows.add_row(
            *map(escape, (str(entry.coordinates), entry.app_id, entry.reason, received, str(entry.size_bytes), status))
        )
    console.print(rows)
    total = sum(row[3] for row in counted)
    if len(entries) < total:
        console.print(f"{len(entries)} of {total}, the newest; --limit shows more.", highlight=False)


def _describe(entry: "Entry", landed: "Landed", verdict: "Recovered | Rejection | Skipped") -> dict[str, Any]:
    from ingestion.contracts.clocks import format_utc
    from ingestion.redrive.advice import advice_for
    from ingestion.redrive.judging import Recovered

    value = landed.value or b""
    reason, message = ("good", "") if isinstance(verdict, Recovered) else (str(verdict.reason), verdict.message)
    return {
        **entry.as_dict(),
        "kafka_timestamp": format_utc(landed.kafka_timestamp),
        "key": _text_or_none(landed.key),
        "headers": [{"name": name, "value": _text_or_none(header)} for name, header in landed.headers],
        "value_text": _text_or_none(value),
        "value_base64": base64.b64encode(value).decode(),
        "verdict_now": reason,
        "verdict_message": message,
        "advice": _advice(entry, is_good=reason == "good") or advice_for(entry.reason),
    }


def _advice(entry: "Entry", *, is_good: bool) -> str:
    if entry.status == "redriven":
        return "nothing: it is redriven"
    return "redrive without a fix: it would be taken as it is" if is_good else ""


def _print_record(described: dict[str, Any], landed: "Landed") -> None:
    console = Console(stderr=True)
    table = Table(show_header=False)
    for name in (
        "coordinates",
        "app_id",
        "event_id",
        "event_type",
        "contract",
        "received_at",
        "ingested_at",
        "kafka_timestamp",
    ):
        table.add_row(name, escape(printable(str(described[name]))))
    table.add_row("rejected", escape(f"{described['reason']} (at {described['stage']})"))
    table.add_row("status", escape(_status(described)))
    table.add_row("verdict now", escape(f"{described['verdict_now']} {described['verdict_message']}".strip()))
    table.add_row("what to try", escape(described["advice"]))
    table.add_row("key", escape(printable(str(described["key"]))))
    for header in described["headers"]:
        table.add_row(f"header {escape(printable(header['name']))}", escape(printable(str(header["value"]))))
    console.print(table)
    value = landed.value or b""
    console.print(f"{len(value)} bytes:", highlight=False)
    shown = printable(value[:_SHOWN_BYTES].decode("utf-8", errors="backslashreplace"))
    console.print(shown, markup=False, highlight=False, soft_wrap=True)
    if len(value) > _SHOWN_BYTES:
        console.print(f"… {len(value) - _SHOWN_BYTES} more; --json has them all.", highlight=False)


def _status(described: dict[str, Any]) -> str:
    if described["status"] != "redriven":
        return "quarantined"
    place = described["redriven_as"] or "waits to be published"
    return f"redriven: {place}, event {described['redriven_event_id']}"


def printable(text: str) -> str:
    """Foreign text for a terminal: what is not printable is escaped, so that it can neither move the cursor nor set a title."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _text_or_none(raw: bytes | None) -> str | None:
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return None
