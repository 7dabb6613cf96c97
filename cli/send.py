"""`tidemark send`: the seeded load generator of all families."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer
from rich.console import Console

from cli import send_options as of
from cli.send_options import FamilyChoice, FamilyOptions

if TYPE_CHECKING:
    from ingestion.generators.experiments import SimulatedExperiment
    from ingestion.generators.lines import LinesReport
    from ingestion.generators.sender import SendReport, SendTarget
    from ingestion.generators.stream import EventStream

EXIT_BAD_OUTCOME = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
_STDOUT = Path("-")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="send")(send)


def send(
    family: Annotated[FamilyChoice, typer.Option(help="Which events; all mixes them.")] = FamilyChoice.ENGAGEMENT,
    events: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Lines to send, copies and malformed ones included; default 1000, or what --users or --posts give.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Lines per second; 0 sends as fast as it is answered. Default 100; downloads go by the minute.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=50_000, help="Lines of one request.")] = 100,
    single: Annotated[bool, typer.Option("--single", help="One request per event.")] = False,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share of exact copies of earlier events.")] = 0.0,
    malformed: Annotated[float, typer.Option(min=0, max=1, help="Share of lines that must be rejected.")] = 0.0,
    late: Annotated[float, typer.Option(min=0, max=1, help="Share of events one minute to three days old.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Same seed and anchor: same bytes. Default 42, social 1337.")] = None,
    anchor: Annotated[
        str | None, typer.Option("--anchor", "--as-of", help="RFC 3339 time of the stream; default now.")
    ] = None,
    scenario: of.Scenario = None,
    per_minute: of.PerMinute = None,
    incident: of.Incidents = None,
    users: of.Users = None,
    experiment: of.ExperimentId = None,
    control_rate: of.ControlRate = None,
    treatment_rate: of.TreatmentRate = None,
    ratio_fault: of.RatioFault = None,
    two_variants: of.TwoVariants = None,
    history_days: of.HistoryDays = None,
    register: of.Register = False,
    posts: of.Posts = None,
    hashtags: of.Hashtags = None,
    repeats: of.Repeats = None,
    endpoint: Annotated[str | None, typer.Option(help="Ingestion address; default: this stack's.")] = None,
    key: Annotated[str | None, typer.Option(help="Write key; default: this stack's.")] = None,
    receipts: Annotated[
        Path | None, typer.Option(help="File for receipts (NDJSON); default under TIDEMARK_HOME.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="File for the ground truth (JSON).")] = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the lines to this file (- for stdout), send nothing.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Generate and count, send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout.")] = False,
) -> None:
    """Send seeded events. Exit 1 when counts differ from the ground truth, 2 for wrong usage, 3 when the API is unreachable."""
    from ingestion.contracts.clocks import TimestampError, parse_timestamp
    from ingestion.generators.catalogue import make_stream

    console = Console(stderr=True)
    options = FamilyOptions(
        scenario, per_minute, tuple(incident or ()), users, experiment, control_rate, treatment_rate, ratio_fault,
        two_variants, history_days, register, posts, hashtags, repeats,
    )  # fmt: skip
    try:
        if as_json and out == _STDOUT:
            raise ValueError("--json and --out - both write to stdout")
        anchored = datetime.fromisoformat(parse_timestamp(anchor)) if anchor else datetime.now(UTC)
        wish = of.make_wish(family, anchored, events, seed, rate, (duplicates, malformed, late), options)
        stream = make_stream(wish)
    except (TimestampError, ValueError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(EXIT_USAGE) from None
    if out is not None or dry_run:
        _print_lines(_write(stream, None if dry_run else out, truth), console, as_json)
        return
    target, home = _find_target(console, endpoint, key)
    path = receipts or home / "receipts" / f"{uuid4()}.ndjson"
    experiments = wish.product.experiments if register else ()
    report = _send(console, target, stream, experiments, batch_size, single, path, truth)
    _print(report, console, as_json)
    if (report.accepted, report.rejected) != (report.truth.accepted, report.truth.rejected):
        console.print(f"[red]expected {report.truth.accepted} accepted and {report.truth.rejected} rejected[/red]")
        raise typer.Exit(EXIT_BAD_OUTCOME)


def _send(
    console: Console,
    target: "SendTarget",
    stream: "EventStream",
    experiments: "Sequence[SimulatedExperiment]",
    batch_size: int,
    single: bool,
    receipts_path: Path,
    truth_path: Path | None,
) -> "SendReport":
    from ingestion.generators.registration import register_experiments
    from ingestion.generators.sender import SendError, UnreachableError, send_events

    try:
        register_experiments(target, experiments)
        with _ProgressBar(console, stream.line_count) as advance:
            return send_events(
                target,
                stream,
                batch_size=batch_size,
                single=single,
                receipts_path=receipts_path,
                truth_path=truth_path,
                progress=advance,
            )
    except SendError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(EXIT_UNREACHABLE if isinstance(error, UnreachableError) else EXIT_BAD_OUTCOME) from None


def _write(stream: "EventStream", out: Path | None, truth_path: Path | None) -> "LinesReport":
    from ingestion.generators.lines import write_lines

    if out is None:
        return write_lines(stream, None, truth_path=truth_path)
    if out == _STDOUT:
        return write_lines(stream, sys.stdout.buffer, name="-", truth_path=truth_path)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as file:
        return write_lines(stream, file, name=str(out), truth_path=truth_path)


def _find_target(console: Console, endpoint: str | None, key: str | None) -> "tuple[SendTarget, Path]":
    """(where to send, home). This stack's key is shown only to this stack. Raises: typer.Exit when no stack is known."""
    from ingestion.generators.sender import SendTarget

    url, known_key, home = _stack_address()
    if endpoint is None and url is None:
        console.print("No stack is known here: start one with `tidemark up`, or give --endpoint.")
        raise typer.Exit(EXIT_UNREACHABLE)
    chosen_key = key if key is not None else known_key if endpoint in (None, url) else None
    return SendTarget(endpoint or url or "", chosen_key), home


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


def _print_lines(report: "LinesReport", console: Console, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    truth = report.truth
    console.print(
        f"generated {report.lines}: {truth.accepted} to accept ({truth.duplicates} copies, {truth.late} late), "
        f"{truth.rejected} to reject; SHA-256 {report.sha256}",
        soft_wrap=True,
    )
    if report.out:
        console.print(f"lines: {report.out}", soft_wrap=True)
