"""`tidemark demo`: the whole platform once, on this machine, with a seeded stream; then a gentle live stream until Ctrl-C.

Written against what the other commands do; holds no rule of its own.
"""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ingestion.generators.sender import SendReport
    from local_stack.settings import StackSettings
    from storage.verification import Report

EXIT_BAD = 1
EXIT_TIMEOUT = 4
EVENTS = 20_000
DUPLICATES_RATIO, MALFORMED_RATIO, LATE_RATIO = 0.03, 0.02, 0.05
SEED = 42
BATCH_SIZE = 500
SETTLE_TIMEOUT_SECONDS = 600.0
LIVE_EVENTS_PER_SECOND = 20.0
LIVE_PLAN_EVENTS = 12_000
# What the table shows, in the order of an event's way: the checker's name, and what it counts.
ROWS = (
    ("acknowledged", "accepted", "answered 2xx after the broker's acknowledgement"),
    ("landed", "landed", "in bronze, byte for byte, rejected ones too"),
    ("silver", "silver", "one row per event id"),
    ("duplicates", "duplicates", "copies of an event id"),
    ("quarantined", "quarantined", "kept with a reason"),
    ("late", "late", "more than ten minutes behind; part of silver"),
    ("published", "published", "what the analytics API counts"),
)


@dataclass(frozen=True)
class DemoOutcome:
    """What the stream became. `seconds` is from the command to the table."""

    sent: "SendReport"
    report: "Report"
    seconds: float


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="demo")(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the table instead of streaming on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")] = False,
) -> None:
    """Start everything, send 20,000 seeded events, show what became of them. Exit 1 when a check fails, 4 when not in time."""
    from cli.doctor import require_startable
    from cli.stack import start_and_wait
    from ingestion.generators.sender import SendError
    from local_stack import environment, lifecycle
    from local_stack.errors import LocalStackError
    from local_stack.settings import StackSettings

    console = Console(stderr=True)
    settings = StackSettings()
    started = time.monotonic()
    try:
        require_startable(settings)  # before anything here may stop a stack: a second demo leaves the first one alone
        with lifecycle.stop_on_exit(settings, enabled=True, console_print=console.print):
            start_and_wait(settings, console, detach=False)
            environment.load(settings)
            outcome = run_stream(settings, console, started)
            print_outcome(settings, console, outcome, as_json=as_json)
            if not outcome.report.ok:
                raise typer.Exit(EXIT_BAD)
            if not once:
                stream_on(settings, console)
    except (LocalStackError, SendError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(EXIT_BAD) from error


def run_stream(settings: "StackSettings", console: Console, started: float) -> DemoOutcome:
    """Sends the seeded stream, waits until it is published, and has it checked.

    Raises: typer.Exit when it is not published in time; SendError.
    """
    from cli.settle import wait_until_settled
    from storage.settings import StorageSettings
    from storage.verification import verify

    with console.status(f"sending {EVENTS:,} events…") as status:
        sent = _send(
            settings,
            EVENTS,
            SEED,
            rate=0,
            ratios=(DUPLICATES_RATIO, MALFORMED_RATIO, LATE_RATIO),
            progress=lambda done: status.update(f"sending {EVENTS:,} events: {done:,}"),
        )
    console.print(
        f"sent {sent.sent:,} events in {sent.seconds:.1f} s ({sent.events_per_second:,.0f}/s)", highlight=False
    )
    with console.status("waiting for publication…") as status:
        waiting_for = wait_until_settled(SETTLE_TIMEOUT_SECONDS, lambda text: status.update(f"waiting for {text}"))
    if waiting_for is not None:
        console.print(f"Not published after {SETTLE_TIMEOUT_SECONDS:g} s: waiting for {waiting_for}.", style="red")
        raise typer.Exit(EXIT_TIMEOUT)
    with console.status("checking that nothing is lost and nothing counted twice…"):
        report = verify(StorageSettings(), receipts=sorted((settings.home / "receipts").glob("*.ndjson")))
    return DemoOutcome(sent, report, time.monotonic() - started)


def _send(
    settings: "StackSettings",
    events: int,
    seed: int,
    *,
    rate: float,
    ratios: tuple[float, float, float],
    progress: Any,
) -> "SendReport":
    from ingestion.generators.engagement import StreamPlan
    from ingestion.generators.sender import SendTarget, send_events
    from local_stack.environment import read_endpoints

    known = read_endpoints(settings)
    return send_events(
        SendTarget(known["ingestion"], known["write_key"]),
        StreamPlan(events, datetime.now(UTC), seed, rate, *ratios),
        batch_size=BATCH_SIZE if rate == 0 else int(rate),
        receipts_path=_receipts_file(settings),
        progress=progress,
    )


def _receipts_file(settings: "StackSettings") -> Path:
    return settings.home / "receipts" / f"{uuid4()}.ndjson"


def print_outcome(settings: "StackSettings", console: Console, outcome: DemoOutcome, *, as_json: bool) -> None:
    """The table, the verdict, and the addresses with something to paste for each."""
    from local_stack.environment import read_endpoints

    known = read_endpoints(settings)
    counts = outcome.report.counts
    if as_json:
        body = {
            "ok": outcome.report.ok,
            "seconds": round(outcome.seconds, 1),
            "sent": outcome.sent.as_dict(),
            "verify": outcome.report.as_dict(),
            "endpoints": known,
        }
        typer.echo(json.dumps(body, default=str))
    table = Table("", "events", "", box=None, pad_edge=False)
    for name, label, meaning in ROWS:
        table.add_row(label, f"{counts.get(name, 0):,}", f"[dim]{meaning}[/]")
    console.print(table)
    if outcome.report.ok:
        console.print("Nothing lost, nothing counted twice: every check holds.", style="green")
    for check in outcome.report.failed:
        console.print(f"{check.invariant} {check.name}: {check.detail}", style="red", markup=False)
    console.print(f"{outcome.seconds:.0f} s from the command to this table\n", highlight=False)
    for label, address, command in _addresses(known):
        console.print(f"[bold]{label}[/]  {address}", highlight=False)
        console.print(f"  {command}", style="dim", highlight=False, soft_wrap=True)


def _addresses(known: dict[str, str]) -> list[tuple[str, str, str]]:
    """(what it is, where it is, a command to paste)."""
    event = {"event_type": "like", "user_id": "ada", "platform": "web", "content_id": "post-1"}
    write, read = (f"-H 'Authorization: Bearer {known[name]}'" for name in ("write_key", "read_key"))
    send = f"curl -s {known['ingestion']}/api/v1/events {write} -H 'Content-Type: application/json' -d '{json.dumps(event)}'"
    question = "/api/v1/analytics/event-distribution?hours_back=96"
    return [
        ("Ingestion API", f"{known['ingestion']}/docs", send),
        ("Analytics API", f"{known['analytics']}/docs", f"curl -s '{known['analytics']}{question}' {read}"),
        ("Dagster", known["dagster"], f"curl -s {known['dagster']}/server_info"),
        ("dbt docs", known["dbt_docs"], f"curl -sI {known['dbt_docs']}/"),
    ]


def stream_on(settings: "StackSettings", console: Console) -> None:
    """A gentle live stream until Ctrl-C."""
    console.print(
        f"\nStreaming {LIVE_EVENTS_PER_SECOND:g} events per second. Ctrl-C stops everything.", highlight=False
    )
    total = 0
    with console.status("streaming…") as status:
        for seed in range(SEED + 1, SEED + 1_000_000):
            sent_before = total
            report = _send(
                settings,
                LIVE_PLAN_EVENTS,
                seed,
                rate=LIVE_EVENTS_PER_SECOND,
                ratios=(0.01, 0.005, 0.01),
                progress=lambda done, before=sent_before: status.update(f"{before + done:,} live events"),
            )
            total += report.sent
