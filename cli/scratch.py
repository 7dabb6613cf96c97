"""`tidemark scratch list, query, drop`, and the making of one for `tidemark replay --into scratch`."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.outcomes import EXIT_BAD, exit_codes

if TYPE_CHECKING:
    from platform_assets.scratch import Source
    from storage.control.replays import ReplayRange
    from storage.settings import StorageSettings
    from streaming.replay import OffsetRange

SHOWN_ROWS = 1000
KAFKA_WAIT_SECONDS = 10.0

Json = Annotated[bool, typer.Option("--json", help="Data as JSON on stdout.")]
Name = Annotated[str, typer.Argument(help="Name of the scratch, as `tidemark scratch list` shows it.")]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(help="Replays that were built apart.", no_args_is_help=True)
    group.command(name="list")(list_scratches)
    group.command(name="query")(query)
    group.command(name="drop")(drop)
    app.add_typer(group, name="scratch")


def make(
    console: Console,
    start: str,
    end: str,
    app: str,
    event_type: str,
    source_name: str,
    offsets: list[str],
    name: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Builds a scratch, or on a dry run says what it would read."""
    from cli.replay import open_range
    from platform_assets.dbt_project import DbtProject
    from platform_assets.scratch import make_scratch
    from platform_assets.settings import OrchestrationSettings

    now = datetime.now(UTC)
    ends = end or (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:00:00Z")
    settings, engine, wanted = open_range(start or _first_day(), ends, app, event_type)
    source = (
        _kafka_source(settings, wanted, offsets)
        if offsets or source_name == "kafka"
        else _bronze_source(settings, wanted)
    )
    if dry_run:
        console.print(f"Would read {source.input_version} and build it into the scratch {name}.", markup=False)
        if as_json:
            typer.echo(json.dumps({"name": name, "source": source.name, "input": source.input_version}))
        return
    limits = OrchestrationSettings()
    with console.status("building a scratch…") as spinner:
        made = make_scratch(
            settings,
            engine,
            DbtProject(limits.dbt_project_dir),
            name,
            wanted,
            source,
            now=now,
            max_rows=limits.max_rows_per_build,
            progress=lambda text: spinner.update(f"{text}…"),
        )
    if as_json:
        typer.echo(json.dumps(vars(made)))
    rows = ", ".join(f"{table} {count:,}" for table, count in made.rows_by_table.items())
    console.print(f"Scratch {name}: {made.record_count:,} records from {made.source}; {rows}.", highlight=False)
    console.print(f'Ask it: tidemark scratch query {name} "select * from gold.agg_day_events"', markup=False)


def _first_day() -> str:
    from storage.settings import StorageSettings

    return f"{StorageSettings().first_day:%Y-%m-%d}"


def _bronze_source(settings: "StorageSettings", wanted: "ReplayRange") -> "Source":
    from platform_assets.build import NothingLandedError
    from platform_assets.scratch import Source
    from storage.bronze import latest_version
    from storage.scratch import copy_bronze

    version = latest_version(settings)
    if version is None:
        raise NothingLandedError(f"There is no bronze table at {settings.bronze_uri} yet.")
    pinned = version
    return Source("bronze", f"bronze version {version}", lambda target: copy_bronze(settings, pinned, wanted, target))


def _kafka_source(settings: "StorageSettings", wanted: "ReplayRange", texts: list[str]) -> "Source":
    from platform_assets.scratch import Source
    from storage.scratch import ScratchError
    from streaming.replay import check_held, find_offsets, parse_offset_range

    servers = settings.kafka_bootstrap_servers
    ranges = [parse_offset_range(text) for text in texts]
    check_held(servers, ranges)
    if not ranges:
        ranges = find_offsets(servers, settings.topics.landed, wanted.first_hour)
    if not ranges:
        raise ScratchError("Kafka holds no record from the beginning of that range on. Bronze may: --source bronze.")
    return Source("kafka", " ".join(map(str, ranges)), lambda target: _read_kafka(settings, ranges, wanted, target))


def _read_kafka(settings: "StorageSettings", ranges: "list[OffsetRange]", wanted: "ReplayRange", target: str) -> int:
    from streaming.replay import read_offsets, write_scratch_bronze
    from streaming.session import build_spark
    from streaming.settings import StreamingSettings

    spark = build_spark(StreamingSettings(), "tidemark-replay")
    try:
        return write_scratch_bronze(spark, read_offsets(spark, settings, ranges, wanted), target)
    finally:
        spark.stop()


def list_scratches(as_json: Json = False) -> None:
    """List the scratches."""
    from storage.scratch import listing

    found = listing(_settings())
    if as_json:
        typer.echo(json.dumps([vars(item) for item in found]))
        return
    table = Table("name", "source", "from", "to", "records", "made", box=None, pad_edge=False)
    for item in found:
        table.add_row(item.name, item.source, item.first_hour, item.end_hour, f"{item.record_count:,}", item.made_at)
    Console().print(table)


def query(
    name: Name,
    sql: Annotated[str, typer.Argument(help="A select over silver.…, gold.… and bronze.events of the scratch.")],
    as_json: Json = False,
) -> None:
    """Ask a scratch with SQL. Exit 1 when the statement is refused."""
    from storage.scratch import query as ask

    console = Console(stderr=True)
    with exit_codes(console):
        names, rows = ask(_settings(), name, sql)
    if as_json:
        typer.echo(json.dumps([dict(zip(names, map(_plain, row), strict=True)) for row in rows]))
        return
    table = Table(*names, box=None, pad_edge=False)
    for row in rows[:SHOWN_ROWS]:
        table.add_row(*(str(_plain(value)) for value in row))
    Console().print(table)
    if len(rows) > SHOWN_ROWS:
        console.print(f"{len(rows) - SHOWN_ROWS} more rows; --json gives all.")


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def drop(name: Name, as_json: Json = False) -> None:
    """Remove a scratch and its files. Exit 1 when there is none."""
    from storage.scratch import drop as remove

    console = Console(stderr=True)
    with exit_codes(console):
        existed = remove(_settings(), name)
    if as_json:
        typer.echo(json.dumps({"name": name, "dropped": existed}))
    console.print(f"Scratch {name} is gone." if existed else f"There is no scratch {name}.")
    if not existed:
        raise typer.Exit(EXIT_BAD)


def _settings() -> "StorageSettings":
    from local_stack import environment
    from storage.settings import StorageSettings

    environment.load()
    return StorageSettings()
