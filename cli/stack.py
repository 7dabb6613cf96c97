"""`tidemark up, down, status, logs, env`: the stack of this machine. `doctor`: `cli.doctor`. What they do is in `local_stack`."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from local_stack.settings import StackSettings
    from local_stack.status_file import StackStatus

EXIT_BAD = 1
EXIT_UNREACHABLE = 3
FOLLOW_SECONDS = 0.3

Json = Annotated[bool, typer.Option("--json", help="Data as JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    from cli.doctor import doctor

    for command in (up, down, status, logs, doctor, env):
        app.command(name=command.__name__)(command)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when the stack is ready; it keeps running.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start the stack and wait until it is ready. Without --detach, Ctrl-C stops it. Exit 1 when it runs already or cannot start."""
    from cli.doctor import require_startable
    from local_stack import lifecycle
    from local_stack.errors import LocalStackError
    from local_stack.settings import StackSettings

    console = Console(stderr=True)
    settings = StackSettings()
    try:
        require_startable(settings)  # before anything here may stop a stack: a second `up` leaves the first one alone
        with lifecycle.stop_on_exit(settings, enabled=not detach, console_print=console.print):
            supervisor = start_and_wait(settings, console, detach=detach)
            show_endpoints(settings, console, as_json=as_json)
            if not detach:
                console.print("Ctrl-C stops the stack.")
                raise typer.Exit(EXIT_BAD if supervisor.wait() else 0)
    except LocalStackError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(EXIT_BAD) from error


def start_and_wait(settings: "StackSettings", console: Console, *, detach: bool) -> Any:
    """A ready stack, with progress on the console; one that cannot start is stopped. Gives the supervisor's Popen. Check first."""
    from local_stack import lifecycle
    from local_stack.errors import StartError

    started = time.monotonic()
    supervisor = lifecycle.start(settings, detach=detach)
    told: set[str] = set()
    with console.status("starting the stack…") as spinner:

        def tell(found: "StackStatus") -> None:
            ready = {process.name for process in found.processes if process.state in ("ready", "done")}
            for name in sorted(ready - told):
                console.print(f"  {time.monotonic() - started:5.1f} s  {name}", highlight=False)
            told.update(ready)
            waiting = [process.name for process in found.processes if process.state == "starting"]
            spinner.update(f"{len(ready)} of {len(found.processes)} ready; starting {', '.join(waiting) or '…'}")

        try:
            lifecycle.wait_until_ready(settings, supervisor, tell)
        except (StartError, KeyboardInterrupt):
            lifecycle.stop(settings)
            raise
    console.print(f"ready after {time.monotonic() - started:.1f} s", style="green")
    return supervisor


def show_endpoints(settings: "StackSettings", console: Console, *, as_json: bool) -> None:
    """The addresses: as JSON on stdout, or for people on stderr."""
    from local_stack.environment import read_endpoints

    found = read_endpoints(settings)
    if as_json:
        typer.echo(json.dumps(found))
        return
    for label, key in (
        ("ingestion API", "ingestion"),
        ("analytics API", "analytics"),
        ("Dagster", "dagster"),
        ("dbt docs", "dbt_docs"),
        ("Kafka", "kafka"),
    ):
        console.print(f"  {label:14} {found[key]}{'/docs' if key in ('ingestion', 'analytics') else ''}")
    console.print(f"  keys and database: {settings.endpoints_file}", highlight=False)


def down(as_json: Json = False) -> None:
    """Stop the stack of this home and wait until everything is gone."""
    from local_stack import lifecycle
    from local_stack.settings import StackSettings

    started = time.monotonic()
    with Console(stderr=True).status("stopping the stack…"):
        was_running = lifecycle.stop(StackSettings())
    seconds = round(time.monotonic() - started, 1)
    if as_json:
        typer.echo(json.dumps({"was_running": was_running, "stopped_after_seconds": seconds}))
    else:
        Console(stderr=True).print(f"stopped after {seconds} s" if was_running else "no stack runs in this home")


def status(as_json: Json = False) -> None:
    """Show every process, and when and why publication is blocked. Exit 1 when something is not ready, 3 when no stack runs."""
    from cli.status_report import print_table, read_report
    from local_stack.settings import StackSettings

    report = read_report(StackSettings())
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        print_table(report)
    if report.state == "stopped":
        raise typer.Exit(EXIT_UNREACHABLE)
    if not report.is_ready:
        raise typer.Exit(EXIT_BAD)


def logs(
    name: Annotated[str, typer.Argument(help="A process of `tidemark status`, or supervisor.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing what is added.")] = False,
    line_count: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines from the end.")] = 50,
    as_json: Json = False,
) -> None:
    """Print the end of a process's log."""
    from local_stack.log_files import tail
    from local_stack.settings import StackSettings

    folder = StackSettings().logs_dir
    known = sorted(path.stem for path in folder.glob("*.log"))
    if name not in known:
        Console(stderr=True).print(f"no log of {name!r}; there are: {', '.join(known) or 'none yet'}", highlight=False)
        raise typer.Exit(2)
    log_file = folder / f"{name}.log"
    lines = tail(log_file, line_count)
    if as_json:
        typer.echo(json.dumps({"name": name, "path": str(log_file), "lines": lines}))
        return
    for line in lines:
        typer.echo(line)
    if follow:
        _follow(log_file)


def _follow(log_file: Any) -> None:
    """Prints what is added until Ctrl-C; begins again when the log was cut."""
    with log_file.open(errors="replace") as log:
        log.seek(0, 2)
        try:
            while True:
                text = log.read()
                if text:
                    sys.stdout.write(text)
                    sys.stdout.flush()
                elif log_file.stat().st_size < log.tell():
                    log.seek(0)
                else:
                    time.sleep(FOLLOW_SECONDS)
        except KeyboardInterrupt:
            return


def env(as_json: Json = False) -> None:
    """Print the stack's settings as export lines: eval "$(tidemark env)" makes plain `dagster dev` and `dbt` use this stack."""
    from local_stack.environment import export_lines, read_file
    from local_stack.settings import StackSettings

    settings = StackSettings()
    if not settings.environment_file.exists():
        Console(stderr=True).print("no stack was started in this home yet; run `tidemark up`")
        raise typer.Exit(EXIT_UNREACHABLE)
    if as_json:
        typer.echo(json.dumps(read_file(settings.environment_file)))
        return
    for line in export_lines(settings.environment_file):
        typer.echo(line)
