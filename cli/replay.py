"""`tidemark replay`: rebuilds a range in place through Dagster, or builds it into a scratch. What runs is decided in `platform_assets`."""

import json
import time
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.outcomes import EXIT_BAD, EXIT_TIMEOUT, EXIT_USAGE, exit_codes

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from storage.control.replays import PlannedDay, Replay, ReplayDay, ReplayRange
    from storage.settings import StorageSettings

POLL_SECONDS = 1.0
SHOWN_DAYS = 10

From = Annotated[str, typer.Option("--from", help="First hour: a date, or a whole UTC hour like 2026-01-05T10:00:00Z.")]
To = Annotated[
    str, typer.Option("--to", help="End of the range, not part of it: 5 January is --from 2026-01-05 --to 2026-01-06.")
]
App = Annotated[str, typer.Option("--app", help="Only hours (live) or records (scratch) of this app.")]
Type = Annotated[str, typer.Option("--type", help="Only hours (live) or records (scratch) of this type of event.")]
Json = Annotated[bool, typer.Option("--json", help="Data as JSON on stdout.")]
Id = Annotated[int, typer.Argument(help="Number of the replay, as `tidemark replay list` shows it.")]


def register(app: typer.Typer) -> None:
    """Adds the group; without a subcommand it asks for a replay."""
    group = typer.Typer(help="Rebuild a range from bronze, in place or apart.", no_args_is_help=True)
    group.callback(invoke_without_command=True)(replay)
    for command in (status, cancel, resume):
        group.command(name=command.__name__)(command)
    group.command(name="list")(list_replays)
    app.add_typer(group, name="replay")


def replay(
    context: typer.Context,
    start: From = "",
    end: To = "",
    app: App = "",
    event_type: Type = "",
    into: Annotated[
        Literal["live", "scratch"],
        typer.Option("--into", help="live: rebuild what is published. scratch: build apart, into a file to query."),
    ] = "live",
    source: Annotated[
        Literal["bronze", "kafka"], typer.Option("--source", help="Where a scratch takes its records from.")
    ] = "bronze",
    offsets: Annotated[
        list[str] | None,
        typer.Option(
            "--offsets", help="TOPIC/PARTITION:FIRST-END to re-read into a scratch, END not part of it; repeatable."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the scratch.")] = "scratch",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done and change nothing.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Do not wait: `tidemark replay status` shows it.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait at most; it goes on after them.")
    ] = 3600,
    as_json: Json = False,
) -> None:
    """Rebuild the hours of a range. Asking twice is one replay. Exit 1 when days failed, 3 when a service is unreachable, 4 not in time."""
    if context.invoked_subcommand is not None:
        return
    console = Console(stderr=True)
    if into == "live" and (offsets or source == "kafka" or name != "scratch"):
        console.print(
            "--source, --offsets and --name belong to --into scratch: published tables are built from bronze."
        )
        raise typer.Exit(EXIT_USAGE)
    if not offsets and not (start and end):
        console.print("A replay needs --from and --to (or, into scratch, --offsets).")
        raise typer.Exit(EXIT_USAGE)
    with exit_codes(console):
        if into == "scratch":
            from cli.scratch import make

            make(console, start, end, app, event_type, source, offsets or [], name, dry_run=dry_run, as_json=as_json)
            return
        settings, engine, wanted = open_range(start, end, app, event_type)
        request_and_follow(console, settings, engine, wanted, dry_run, detach, timeout, as_json)


def open_range(start: str, end: str, app: str, event_type: str) -> "tuple[StorageSettings, Engine, ReplayRange]":
    """Settings, control database and the range, checked."""
    from local_stack import environment
    from platform_assets.replay import make_range
    from storage.control import make_engine
    from storage.settings import StorageSettings

    environment.load()
    settings = StorageSettings()
    wanted = make_range(
        start, end, app_id=app, event_type=event_type, now=datetime.now(UTC), first_day=settings.first_day
    )
    return settings, make_engine(settings, pool_size=1), wanted


def request_and_follow(
    console: Console,
    settings: "StorageSettings",
    engine: "Engine",
    wanted: "ReplayRange",
    dry_run: bool,
    detach: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Shows the plan, asks for it unless it is a dry run, and waits for it unless detached."""
    from platform_assets.replay import cut_days
    from platform_assets.replay_input import find_days
    from platform_assets.settings import OrchestrationSettings
    from storage.control import replays

    max_rows = OrchestrationSettings().max_rows_per_late_run
    with console.status("counting bronze's records…"):
        days = find_days(settings, engine, wanted, max_rows)
    runs = len(cut_days(days, max_rows)) if days else 0
    print_days(console, days, runs)
    if dry_run or not days:
        if as_json:
            typer.echo(json.dumps({"replay_id": None, "runs": runs, "days": [_planned(day) for day in days]}))
        return
    replay_id, is_new = replays.request(engine, wanted, days)
    console.print(f"Replay {replay_id} {'is asked for' if is_new else 'is under way already'}.", highlight=False)
    if not detach:
        follow(console, engine, replay_id, timeout)
    found = replays.find(engine, replay_id)
    assert found is not None
    report(console, found, as_json)
    if found.state == "running" and not detach:
        raise typer.Exit(EXIT_TIMEOUT)
    if found.state in ("failed", "cancelled"):
        raise typer.Exit(EXIT_BAD)


def follow(console: Console, engine: "Engine", replay_id: int, timeout: float) -> None:
    """Progress until it is over or the time is. Ctrl-C leaves it running."""
    from storage.control import replays

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
    )
    deadline = time.monotonic() + timeout
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"replay {replay_id}", total=None, unit="days")
        try:
            while True:
                found = replays.find(engine, replay_id)
                if found is None:
                    return
                blocked = [day for day in found.open_days if day.blocked_by]
                text = f"replay {replay_id}" + (
                    f", {_span(blocked[0])} stopped by {blocked[0].blocked_by}" if blocked else ""
                )
                done, count = len(found.days) - len(found.open_days), len(found.days)
                unit = "days" if count == found.day_counts[1] else "parts of days"
                bar.update(task, total=count, completed=done, description=text, unit=unit)
                if found.state != "running" or time.monotonic() >= deadline:
                    return
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            console.print(f"It goes on: `tidemark replay status {replay_id}`, `tidemark replay cancel {replay_id}`.")


def status(replay_id: Id, as_json: Json = False) -> None:
    """Show a replay and its days. Exit 1 when days failed."""
    console = Console(stderr=True)
    with exit_codes(console):
        found = _find(console, replay_id)
        report(console, found, as_json)
        if found.state == "failed":
            raise typer.Exit(EXIT_BAD)


def cancel(replay_id: Id, as_json: Json = False) -> None:
    """Stop a replay: the build under way ends whole, no further one begins, finished days stay. Exit 1 when it is over already."""
    _act(replay_id, "cancel", as_json)


def resume(replay_id: Id, as_json: Json = False) -> None:
    """Let a cancelled or failed replay go on with the days that are left. Exit 1 when none are, or it runs."""
    _act(replay_id, "resume", as_json)


def _act(replay_id: int, action: str, as_json: bool) -> None:
    from storage.control import make_engine, replays
    from storage.settings import StorageSettings

    console = Console(stderr=True)
    with exit_codes(console):
        before = _find(console, replay_id)
        changed = getattr(replays, action)(make_engine(StorageSettings(), pool_size=1), replay_id)
        report(console, _find(console, replay_id), as_json)
        if not changed:
            console.print(f"Nothing to {action}: it was {before.state} before.")
            raise typer.Exit(EXIT_BAD)


def list_replays(as_json: Json = False) -> None:
    """List the newest replays."""
    from local_stack import environment
    from storage.control import make_engine, replays
    from storage.settings import StorageSettings

    console = Console(stderr=True)
    environment.load()
    with exit_codes(console):
        found = replays.listing(make_engine(StorageSettings(), pool_size=1))
    if as_json:
        typer.echo(json.dumps([as_dict(item) for item in found]))
        return
    table = Table("replay", "state", "from", "to", "days", "publications", box=None, pad_edge=False)
    for item in found:
        done = "{} of {}".format(*item.day_counts)
        first, last = f"{item.range.first_hour:%Y-%m-%d %H:00}", f"{item.range.end_hour:%Y-%m-%d %H:00}"
        table.add_row(str(item.replay_id), item.state, first, last, done, _numbers(item))
    Console().print(table)


def _find(console: Console, replay_id: int) -> "Replay":
    from local_stack import environment
    from storage.control import make_engine, replays
    from storage.settings import StorageSettings

    environment.load()
    found = replays.find(make_engine(StorageSettings(), pool_size=1), replay_id)
    if found is None:
        console.print(f"There is no replay {replay_id}. See `tidemark replay list`.")
        raise typer.Exit(EXIT_USAGE)
    return found


def print_days(console: Console, days: "list[PlannedDay]", runs: int) -> None:
    """What would be rebuilt."""
    if not days:
        console.print("Bronze holds no such records, and nothing of that range was published: nothing to rebuild.")
        return
    by_day: dict[date, list[PlannedDay]] = {}
    for part in days:
        by_day.setdefault(part.day, []).append(part)
    hours, rows = sum(len(part.hours) for part in days), sum(part.row_count for part in days)
    console.print(f"{len(by_day)} days, {hours} hours, {rows:,} records in bronze, {runs} runs:", highlight=False)
    for day, parts in list(by_day.items())[:SHOWN_DAYS]:
        hours, rows = sum(len(part.hours) for part in parts), sum(part.row_count for part in parts)
        split = f" in {len(parts)} parts" if len(parts) > 1 else ""
        console.print(f"  {day}  {hours:2} hours  {rows:>12,} records{split}", highlight=False)
    if len(by_day) > SHOWN_DAYS:
        console.print(f"  … and {len(by_day) - SHOWN_DAYS} more, to {days[-1].day}", highlight=False)


def report(console: Console, found: "Replay", as_json: bool) -> None:
    """A replay in words, or as JSON."""
    if as_json:
        typer.echo(json.dumps(as_dict(found)))
    done, count = len(found.days) - len(found.open_days), len(found.days)
    text = "Replay {} is {}: {} of {} days rebuilt".format(found.replay_id, found.state, *found.day_counts)
    if count > found.day_counts[1]:
        text += f" ({done} of {count} parts)"
    changed = {day.day for day in found.days if day.publication_id is not None}
    if done:
        text += (
            f", {len(changed)} changed (publication {_numbers(found)})"
            if changed
            else ", all equal to what was published"
        )
    console.print(f"{text}.", highlight=False)
    for day in [day for day in found.open_days if day.blocked_by][:SHOWN_DAYS]:
        console.print(
            f"  {_span(day)} was stopped by {day.blocked_by} ({day.attempts} attempts, run {day.last_run_id})",
            markup=False,
        )


def as_dict(found: "Replay") -> dict[str, Any]:
    """For --json."""
    return {
        "replay_id": found.replay_id,
        "state": found.state,
        "from": found.range.first_hour.isoformat(),
        "to": found.range.end_hour.isoformat(),
        "app": found.range.app_id or None,
        "type": found.range.event_type or None,
        "publications": list(found.publication_ids),
        "days": [
            {
                **_planned(day),
                "is_finished": day.finished_at is not None,
                "publication": day.publication_id,
                "attempts": day.attempts,
                "blocked_by": day.blocked_by,
                "run_id": day.last_run_id,
            }
            for day in found.days
        ],
    }


def _planned(day: "PlannedDay | ReplayDay") -> dict[str, Any]:
    return {
        "day": day.day.isoformat(),
        "first_hour": day.hours[0].isoformat(),
        "hours": len(day.hours),
        "records": day.row_count,
    }


def _span(day: "ReplayDay") -> str:
    return f"{day.hours[0]:%Y-%m-%d %H:00} to {day.hours[-1]:%H:00}"


def _numbers(found: "Replay") -> str:
    return ", ".join(map(str, found.publication_ids))
