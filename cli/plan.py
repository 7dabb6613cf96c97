"""`tidemark plan`, `apply` and `plans`: what a change of code would change in what is published, shown first and applied as shown."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.outcomes import EXIT_BAD, EXIT_USAGE, exit_codes
from cli.replay import App, From, Json, To, Type, open_range, print_days

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from storage.control.plans import Plan
    from storage.settings import StorageSettings

Id = Annotated[int, typer.Argument(help="Number of the plan, as `tidemark plans list` shows it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done and change nothing.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(name="plan")(plan)
    app.command(name="apply")(apply)
    group = typer.Typer(help="Plans that are kept.", no_args_is_help=True)
    group.command(name="list")(list_plans)
    group.command(name="show")(show)
    group.command(name="drop")(drop)
    app.add_typer(group, name="plans")


def plan(
    start: From,
    end: To,
    app: App = "",
    event_type: Type = "",
    project: Annotated[
        Path | None,
        typer.Option(
            "--project",
            file_okay=False,
            exists=True,
            help="A dbt project with the changed code. Default: the running one.",
        ),
    ] = None,
    keep_days: Annotated[int, typer.Option("--keep-days", min=1, max=90, help="Days until the plan expires.")] = 7,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Build a range apart and show what publishing it would change, by table and day. Publishes nothing."""
    from platform_assets.dbt_project import DbtProject
    from platform_assets.plans import make_plan
    from platform_assets.replay_input import find_days
    from platform_assets.settings import OrchestrationSettings

    console = Console(stderr=True)
    with exit_codes(console):
        settings, engine, wanted = open_range(start, end, app, event_type)
        limits = OrchestrationSettings()
        code = DbtProject(project or limits.dbt_project_dir)
        with console.status("counting bronze's records…"):
            days = find_days(settings, engine, wanted)
        print_days(console, days, runs=0)
        if dry_run:
            if as_json:
                typer.echo(json.dumps({"plan_id": None, "code_version": code.code_version, "days": len(days)}))
            return
        with console.status("planning…") as spinner:
            made = make_plan(
                settings,
                engine,
                code,
                days,
                now=datetime.now(UTC),
                kept=timedelta(days=keep_days),
                max_rows=limits.max_rows_per_build,
                progress=lambda text: spinner.update(f"{text}…"),
            )
        report(console, made, as_json)


def apply(plan_id: Id, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Publish exactly what a plan has shown, as one publication. Exit 1 when it is refused: its days were published since, say."""
    from platform_assets.code_version import read_code_version
    from storage.plan_application import apply_plan

    console = Console(stderr=True)
    settings, engine = _open()
    with exit_codes(console):
        with console.status("publishing…"):
            applied = apply_plan(settings, engine, plan_id, dry_run=dry_run)
        if as_json:
            typer.echo(json.dumps(as_dict(applied)))
        if dry_run and applied.state == "ready":
            console.print(f"Plan {plan_id} can be applied as it was shown.")
        elif applied.publication_id is None:
            console.print(f"Plan {plan_id} is applied: nothing differed, so nothing was published.")
        else:
            console.print(f"Plan {plan_id} is publication {applied.publication_id}.")
        if applied.code_version != read_code_version():
            console.print(
                f"The code that runs is {read_code_version()}, the plan's is {applied.code_version}: "
                "hours that get records are built by the code that runs."
            )


def list_plans(as_json: Json = False) -> None:
    """List the newest plans."""
    from storage.control import plans

    with exit_codes(Console(stderr=True)):
        found = plans.listing(_open()[1])
    if as_json:
        typer.echo(json.dumps([as_dict(item) for item in found]))
        return
    table = Table("plan", "state", "from", "to", "base", "code", "differences", "expires", box=None, pad_edge=False)
    for item in found:
        first, last = str(item.days[0]), str(item.days[-1])
        base, expires = str(item.base_publication_id or ""), f"{item.expires_at:%Y-%m-%d %H:%M}"
        table.add_row(
            str(item.plan_id), item.state, first, last, base, item.code_version, str(len(item.differences)), expires
        )
    Console().print(table)


def show(plan_id: Id, as_json: Json = False) -> None:
    """Show a plan's comparison again."""
    console = Console(stderr=True)
    with exit_codes(console):
        report(console, _find(console, plan_id), as_json)


def drop(plan_id: Id, as_json: Json = False) -> None:
    """Remove a plan and its files. Exit 1 when it was applied or is gone already."""
    from storage.plan_files import drop_plan

    console = Console(stderr=True)
    with exit_codes(console):
        found = _find(console, plan_id)
        can_drop = found.state in ("building", "ready")
        if can_drop:
            drop_plan(*_open(), plan_id)
        if as_json:
            typer.echo(json.dumps({"plan_id": plan_id, "dropped": can_drop}))
        console.print(f"Plan {plan_id} is gone." if can_drop else f"Plan {plan_id} is {found.state}: nothing to drop.")
        if not can_drop:
            raise typer.Exit(EXIT_BAD)


def _find(console: Console, plan_id: int) -> "Plan":
    from storage.control import plans

    found = plans.find(_open()[1], plan_id)
    if found is None:
        console.print(f"There is no plan {plan_id}. See `tidemark plans list`.")
        raise typer.Exit(EXIT_USAGE)
    return found


def _open() -> "tuple[StorageSettings, Engine]":
    from local_stack import environment
    from storage.control import make_engine
    from storage.settings import StorageSettings

    environment.load()
    settings = StorageSettings()
    return settings, make_engine(settings, pool_size=1)


def report(console: Console, found: "Plan", as_json: bool) -> None:
    """The comparison: on stdout as JSON, or as tables."""
    if as_json:
        typer.echo(json.dumps(as_dict(found)))
        return
    console.print(
        f"Plan {found.plan_id} ({found.state}): {found.days[0]} to {found.days[-1]} by code {found.code_version}, "
        f"compared with publication {found.base_publication_id or 'none'}.",
        highlight=False,
    )
    if not found.differences:
        console.print("Equal to what is published, cell for cell.")
        return
    rows = Table("table", "day", "added", "removed", "changed", box=None, pad_edge=False)
    sums = Table("table", "day", "sum of", "published", "planned", "difference", box=None, pad_edge=False)
    for item in found.differences:
        rows.add_row(item.table, str(item.day), *(f"{value:,}" for value in (item.added, item.removed, item.changed)))
        for name, (old, new) in item.measures.items():
            if old != new:
                sums.add_row(item.table, str(item.day), name, f"{old:,.10g}", f"{new:,.10g}", f"{new - old:+,.10g}")
    Console().print(rows)
    if sums.row_count:
        Console().print(sums)
    if found.state == "ready":
        console.print(
            f"Publish exactly this: tidemark apply {found.plan_id} (until {found.expires_at:%Y-%m-%d %H:%M} UTC)"
        )


def as_dict(found: "Plan") -> dict[str, Any]:
    """For --json."""
    return {
        "plan_id": found.plan_id,
        "state": found.state,
        "days": [day.isoformat() for day in found.days],
        "hours": len(found.hours),
        "base_publication": found.base_publication_id,
        "bronze_version": found.bronze_version,
        "code_version": found.code_version,
        "publication": found.publication_id,
        "expires_at": found.expires_at.isoformat(),
        "differences": [item.as_dict() for item in found.differences],
    }
