"""`tidemark verify`: checks the invariants I1-I6 and prints what is wrong, by name. The work is in `storage.verification`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from storage.verification import Report

EXIT_WRONG = 1
EXIT_UNREACHABLE = 3
RECEIPTS_PATTERN = "receipts/*.ndjson"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="verify")(verify)


def verify(
    receipts: Annotated[
        list[Path] | None,
        typer.Option(
            "--receipts",
            exists=True,
            dir_okay=False,
            help="NDJSON of {app_id, event_id} that must be held; repeatable. Default: all that `tidemark send` left.",
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, help="Compare silver and gold of the newest N days that hold data only."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Check I1-I6: nothing lost, nothing twice, every number reproducible. Exit 1 when something is wrong, 3 when a service is down."""
    from local_stack import environment
    from local_stack.settings import StackSettings
    from storage.settings import StorageSettings
    from storage.verification import ServiceUnreachableError
    from storage.verification import verify as run_checks

    console = Console(stderr=True)
    environment.load()
    files = sorted(StackSettings().home.glob(RECEIPTS_PATTERN)) if receipts is None else receipts
    try:
        with console.status("verifying…"):
            report = run_checks(StorageSettings(), receipts=files, newest_days=days)
    except ServiceUnreachableError as error:
        console.print(escape(f"Nothing was verified: {error}."))
        raise typer.Exit(EXIT_UNREACHABLE) from error
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    _print(console, report)
    if not report.ok:
        raise typer.Exit(EXIT_WRONG)


def _print(console: Console, report: "Report") -> None:
    table = Table("", "invariant", "check", "detail")
    for check in report.checks:
        table.add_row("[green]ok" if check.ok else "[red]wrong", check.invariant, check.name, escape(check.detail))
    console.print(table)
    for check in report.failed:
        console.print(f"[red]{check.invariant} {check.name}[/]: {escape(check.detail)}")
        for offence in check.offending:
            console.print(escape(f"  {offence}"))
    numbers = ", ".join(f"{name} {value}" for name, value in report.counts.items() if isinstance(value, int))
    console.print(f"Counts: {numbers}")
    console.print(
        "Everything holds."
        if report.ok
        else f"{len(report.failed)} of {len(report.checks)} checks found something wrong."
    )
