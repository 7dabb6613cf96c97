"""`tidemark send`: the seeded load generator."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer
from rich.console import Console

if TYPE_CHECKING:
    from ingestion.generators.sender import SendReport

EXIT_BAD_OUTCOME = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="send")(send)


def send(
    events: Annotated[int, typer.Option(min=1, help="Lines to send, copies and malformed ones included.")] = 1000,
    rate: Annotated[float, typer.Option(min=0, help="Lines per second; 0 sends as fast as it is answered.")] = 100.0,
    batch_size: Annotated[int, typer.Option(min=1, max=50_000, help="Lines of one request.")] = 100,
    single: Annotated[bool, typer.Option("--single", help="One request per event.")] = False,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share of exact copies of earlier events.")] = 0.0,
    malformed: Annotated[float, typer.Option(min=0, max=1, help="Share of lines that must be rejected.")] = 0.0,
    late: Annotated[float, typer.Option(min=0, max=1, help="Share of events one minute to three days old.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed and anchor: same bytes.")] = 42,
    anchor: Annotated[str | None, typer.Option(help="RFC 3339 time of the stream; default now.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Ingestion address; default: this stack's.")] = None,
    key: Annotated[str | None, typer.Option(help="Write key; default: this stack's.")] = None,
    receipts: Annotated[
        Path | None, typer.Option(help="File for receipts (NDJSON); default under TIDEMARK_HOME.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="File for the ground truth (JSON).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout.")] = False,
) -> None:
    """Send seeded engagement events. Exit 1 when counts differ from the ground truth, 3 when the API is unreachable."""
    from ingestion.contracts.clocks import TimestampError, parse_timestamp
    from ingestion.generators.engagement import StreamPlan
    from ingestion.generators.sender import SendError, SendTarget, UnreachableError, send_events

    console = Console(stderr=True)
    try:
        anchored = datetime.fromisoformat(parse_timestamp(anchor)) if anchor else datetime.now(UTC)
        plan = StreamPlan(events, anchored, seed, rate, duplicates, malformed, late)
    except (TimestampError, ValueError) as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(EXIT_USAGE) from None
    url, known_key, home = _stack_address()
    if endpoint is None and url is None:
        console.print("No stack is known here: start one with `tidemark up`, or give --endpoint.")
        raise typer.Exit(EXIT_UNREACHABLE)
    # This stack's key is shown only to this stack.
    chosen_key = key if key is not None else known_key if endpoint in (None, url) else None
    path = receipts or home / "receipts" / f"{uuid4()}.ndjson"
    try:
        with _ProgressBar(console, events) as advance:
            report = send_events(
                SendTarget(endpoint or url or "", chosen_key),
                plan,
                batch_size=batch_size,
                single=single,
                receipts_path=path,
                truth_path=truth,
                progress=advance,
            )
    except SendError as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(EXIT_UNREACHABLE if isinstance(error, UnreachableError) else EXIT_BAD_OUTCOME) from None
    _print(report, console, as_json)
    if (report.accepted, report.rejected) != (report.truth.accepted, report.truth.rejected):
        console.print(f"[red]expected {report.truth.accepted} accepted and {report.truth.rejected} rejected[/red]")
        raise typer.Exit(EXIT_BAD_OUTCOME)


def _stack_address() -> tuple[str | None, str | None, Path]:
    """(address, write key, home) of this stack."""
    from local_stack.environment import read_endpoints
    from local_stack.settings import StackSettings

    settings = StackSettings()
    found = read_endpoints(settings)
    return found.get("ingestion"), found.get("write_key"), settings.home


class _ProgressBar:
    """A bar on stderr; gives the function that moves it."""

    def __init__(self, console: Console, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task("sending", total=total)

    def __enter__(self) -> "_ProgressBar":
        self._bar.start()
        return self

    def __call__(self, done: int) -> None:
        self._bar.update(self._task, completed=done)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _print(report: "SendReport", console: Console, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    truth = report.truth
    console.print(
        f"sent {report.sent}: accepted {report.accepted} ({truth.duplicates} copies, {truth.late} late), "
        f"rejected {report.rejected}, {report.retries} retries, {report.events_per_second:.0f} events/s"
    )
    if report.receipts:
        console.print(f"receipts: {report.receipts}")
