"""`tidemark contracts`: what is agreed on events, and what a proposed version would change."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from storage.candidate import Candidate
    from storage.contract_trial import Trial

EXIT_FAILING = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(help="The contracts of events, and proposals to change them.", no_args_is_help=True)
    group.command(name="list")(list_contracts)
    group.command(name="show")(show)
    group.command(name="check")(check)
    app.add_typer(group, name="contracts")


def list_contracts(as_json: AsJson = False) -> None:
    """All contracts: which versions are taken, and how often each was released."""
    from ingestion.contracts.registry import REGISTRY
    from ingestion.contracts.releases import read_releases

    released, newest = read_releases(), REGISTRY.newest
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "family": contract.family.value,
            "version": contract.version,
            "status": "retired"
            if contract.is_retired
            else "newest"
            if newest[contract.family] is contract
            else "taken",
            "revisions": len(released.get(name, ())),
        }
        for name, contract in REGISTRY.contracts.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(stderr=True).print(table)


def show(
    name: Annotated[str, typer.Argument(help="FAMILY/VERSION, for instance engagement/1.")], as_json: AsJson = False
) -> None:
    """One contract: its fields as Markdown, or with --json its JSON Schema, which is where a proposal starts."""
    from ingestion.contracts.formats import dictionary, json_schema
    from ingestion.contracts.registry import CONTRACTS

    contract = CONTRACTS.get(name)
    if contract is None:
        _refuse(f"no such contract; there are {', '.join(CONTRACTS)}", EXIT_USAGE)
    typer.echo(json_schema.render(contract) if as_json else dictionary.section(contract), nl=False)


def check(
    candidate: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            help="The proposed version: a JSON Schema with $id FAMILY/VERSION.",
        ),
    ],
    days: Annotated[int, typer.Option("--days", min=1, help="Try it on the newest N days that hold data.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Try a proposed version on what has landed, and compare it with what was released.

    Exit 0 when no event would fail, 1 when some would, 2 when the file is no proposal, 3 when there is no bronze. Whether it may be a
    revision of its version or a new version is told, not decided here.
    """
    from local_stack import environment
    from storage.candidate import Candidate, CandidateError
    from storage.contract_trial import NoBronzeError
    from storage.settings import StorageSettings

    environment.load()
    console = Console(stderr=True)
    try:
        proposed = Candidate.parse(candidate.read_bytes())
    except CandidateError as error:
        _refuse(f"{candidate}: {error}", EXIT_USAGE)
    try:
        trial = _try(StorageSettings(), proposed, days, console)
    except NoBronzeError as error:
        _refuse(f"{error}; see `tidemark status`", EXIT_UNREACHABLE)
    compatibility = compare(proposed)
    if as_json:
        typer.echo(json.dumps({**trial.as_dict(), "compatibility": compatibility}))
    _print_compatibility(console, proposed.name, compatibility)
    _print_trial(console, trial)
    if trial.failing:
        raise typer.Exit(EXIT_FAILING)


def _try(settings: Any, proposed: "Candidate", days: int, console: Console) -> "Trial":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from storage.contract_trial import plan_days, run_trial

    version, rows_by_date = plan_days(settings, days)
    columns = (TextColumn("bronze"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[events]} events"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("reading", total=sum(rows_by_date.values()), events=0)
        return run_trial(
            settings,
            proposed,
            version,
            rows_by_date,
            lambda passed, events: bar.update(task, completed=passed, events=events),
        )


def compare(proposed: "Candidate") -> dict[str, Any]:
    """The proposal against every released revision of its family up to its version: levels that hold, and the differences to the last."""
    from ingestion.contracts.compatibility import Level, differences, is_compatible
    from ingestion.contracts.releases import read_releases

    def version(name: str) -> int:
        return int(name.partition("/")[2])

    earlier = sorted(
        (
            release
            for name, revisions in read_releases().items()
            for release in revisions
            if name.startswith(f"{proposed.family.value}/") and version(name) <= proposed.version
        ),
        key=lambda release: (version(release.contract), release.revision),
    )
    schemas = [release.schema for release in earlier]
    return {
        "against": [f"{release.contract} revision {release.revision}" for release in earlier],
        "levels": {level.value: is_compatible(level, proposed.schema, schemas) for level in Level},
        "differences": [asdict(item) for item in differences(schemas[-1], proposed.schema)] if schemas else [],
    }


def _print_compatibility(console: Console, name: str, compatibility: dict[str, Any]) -> None:
    against = compatibility["against"]
    console.print(f"{name} against {against[-1] if against else 'nothing released'}:", highlight=False)
    for item in compatibility["differences"]:
        verdict = f"breaks {item['breaks']}" if item["breaks"] else "breaks nothing"
        console.print(f"  {item['path'] or '(root)'} {item['message']} ({item['rule']}): {verdict}", markup=False)
    holds = compatibility["levels"]
    console.print(
        "  " + ", ".join(f"{level} {'holds' if is_kept else 'does not'}" for level, is_kept in holds.items()),
        highlight=False,
    )


def _print_trial(console: Console, trial: "Trial") -> None:
    table = Table("app", "version", "events", "would fail", "why", "for example")
    for group in trial.as_dict()["groups"]:
        start = [escape(group["app_id"]), escape(group["contract"]), str(group["events"]), str(group["failing"])]
        for item in group["findings"] or [None]:
            why = "" if item is None else f"{item['events']} × {item['reason']}:{item['path']} ({item['rule']})"
            table.add_row(*start, escape(why), "" if item is None else escape("\n".join(item["examples"])))
            start = [""] * 4
    if trial.events:
        console.print(table)
    days = f"{trial.days[0]} to {trial.days[-1]}" if trial.days else "no day"
    console.print(
        f"{trial.failing} of {trial.events} events of {days} would fail (bronze version {trial.bronze_version}).",
        highlight=False,
    )
    broken = sum(group.broken_already for group in trial.groups.values())
    if broken:
        console.print(f"{broken} more break it and their own version too: silver has them in quarantine already.")


def _refuse(message: str, code: int) -> NoReturn:
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)
