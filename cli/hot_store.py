"""`tidemark hot-store`: compares the hot store with bronze, brings dead letters back into it, drops the days that are no longer kept."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.quarantine_options import EXIT_UNREACHABLE, EXIT_USAGE, AsJson, refuse, time_of

if TYPE_CHECKING:
    from storage.hot_store.settings import HotStoreSettings
    from storage.hot_store.store import HotStore
    from storage.settings import StorageSettings
    from streaming.hot_store.redrive import Selection

EXIT_WRONG = 1
MAX_NAMED = 20


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(help="The hot store: live events of the last days.", no_args_is_help=True)
    group.command(name="check")(check)
    group.command(name="redrive")(redrive)
    group.command(name="expire")(expire)
    app.add_typer(group, name="hot-store")


def check(as_json: AsJson = False) -> None:
    """Compare the hot store with bronze over the days it keeps. Exit 1 when something differs, 3 when a service is down."""
    from storage.hot_store.group_offsets import GroupOffsets
    from storage.hot_store.reconciliation import reconcile

    console = Console(stderr=True)
    with _opened(console) as (storage, settings, store), console.status("comparing the hot store with bronze…"):
        group = GroupOffsets(storage.kafka_bootstrap_servers, settings.consumer_group, storage.topics)
        found = reconcile(storage, store, group, ttl_days=settings.ttl_days)
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
    console.print(
        f"{found.hot_count:,} events in the hot store, {found.bronze_count:,} in bronze:"
        f" {found.missing_count} missing, {found.unfounded_count} unfounded, {found.doubled_count} there twice,"
        f" {found.excused_count} kept out by dead letters."
    )
    for what, names in (
        ("missing", found.missing),
        ("unfounded", found.unfounded),
        ("there twice", found.doubled),
        ("dead letter", found.excused),
    ):
        for name in names:
            console.print(f"  {what}: {name}", markup=False)
    if not found.ok:
        raise typer.Exit(EXIT_WRONG)


def redrive(
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help="Why a worker could not handle them. Repeatable.")
    ] = None,
    app_id: Annotated[str | None, typer.Option("--app", help="Records of this app only.")] = None,
    from_at: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Lettered at this time or later: RFC 3339, UTC.")
    ] = None,
    to_at: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Lettered before this time.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of each record, write nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the records of the workers' dead letters into the hot store, once their cause is repaired. Again: changes nothing.

    Exit 2 for wrong usage, 3 when a service is unreachable: what is written by then stays, run it again.
    """
    from streaming.hot_store.redrive import Selection

    console = Console(stderr=True)
    selection = Selection(tuple(reason or ()), app_id, time_of("--from", from_at), time_of("--to", to_at))
    if not dry_run and not yes:
        if not sys.stdin.isatty():
            refuse("Nothing is written without a yes: add --yes, or --dry-run to see what would be done.", EXIT_USAGE)
        _print_redrive(console, _redrive(console, selection, is_dry=True), is_dry=True)
        typer.confirm("Write these events?", abort=True, err=True)
    found = _redrive(console, selection, is_dry=dry_run)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, **found}))
    _print_redrive(console, found, is_dry=dry_run)


def _redrive(console: Console, selection: "Selection", *, is_dry: bool) -> dict[str, Any]:
    """The report of a redrive, or of what one would do."""
    import functools

    from storage.control import make_engine
    from storage.hot_store.events import first_kept_day
    from storage.hot_store.group_offsets import GroupOffsets
    from streaming.hot_store.avro_bodies import AvroBodies, registered_schemas
    from streaming.hot_store.letter_records import open_letter_records
    from streaming.hot_store.records import RecordParser
    from streaming.hot_store.redrive import DryWriter, Redriver, report

    with _opened(console) as (storage, settings, store), console.status("reading the dead letters…") as status:
        group = GroupOffsets(storage.kafka_bootstrap_servers, settings.consumer_group, storage.topics)
        first_day = first_kept_day(datetime.now(UTC), settings.ttl_days)
        engine = make_engine(storage, pool_size=1)
        avro = AvroBodies(functools.partial(registered_schemas, engine))
        writer = DryWriter(store) if is_dry else store
        redriver = Redriver(RecordParser(storage.first_day, avro), avro, writer, first_day)
        done = []
        try:
            with open_letter_records(storage, group) as records:
                chosen = [letter for letter in records.letters() if selection.fits(letter)]
                for item in redriver.run(records.records(chosen, first_day)):
                    done.append(item)
                    status.update(f"{len(done)} of {len(chosen)} records…")
        finally:
            engine.dispose()
        return report(done, group.live_topic)


def _print_redrive(console: Console, found: dict[str, Any], *, is_dry: bool) -> None:
    verb = "would be written" if is_dry else "written"
    table = Table("reason", verb, "already there", "expired", "still bad")
    for reason, counts in found["by_reason"].items():
        table.add_row(escape(reason), *(str(count) for count in counts.values()))
    console.print(table)
    console.print(
        f"{found['selected']} selected = {found['redriven']} {verb} + {found['already']} already there"
        f" + {found['expired']} expired + {found['still_bad']} still bad",
        highlight=False,
    )
    for letter in [letter for letter in found["letters"] if letter["outcome"] == "still_bad"][:MAX_NAMED]:
        console.print(
            f"  {letter['coordinates']}: {letter['remaining_reason']}: {letter['message']}",
            markup=False,
            highlight=False,
        )


def expire(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would go, drop nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop the days older than TIDEMARK_HOT_STORE_TTL_DAYS. DynamoDB expires its items by itself."""
    from storage.hot_store.events import first_kept_day

    console = Console(stderr=True)
    with _opened(console) as (_, settings, store), console.status("looking for expired days…"):
        before = first_kept_day(datetime.now(UTC), settings.ttl_days)
        found = store.expired(before) if dry_run else store.expire(before)
    if as_json:
        days = [{"day": item.day.isoformat(), "event_count": item.event_count} for item in found]
        typer.echo(json.dumps({"kept_from": before.isoformat(), "dry_run": dry_run, "days": days}))
    verb = "Would drop" if dry_run else "Dropped"
    for item in found:
        console.print(f"{verb} {item.day}: {item.event_count:,} events")
    if not found:
        console.print(f"Nothing is older than {before}.")


@contextmanager
def _opened(console: Console) -> "Iterator[tuple[StorageSettings, HotStoreSettings, HotStore]]":
    import duckdb
    from kafka.errors import KafkaError

    from local_stack import environment
    from storage.bronze import BronzeError
    from storage.hot_store.errors import HotStoreError
    from storage.hot_store.opening import open_hot_store
    from storage.hot_store.settings import HotStoreSettings
    from storage.object_store import ObjectStoreError
    from storage.settings import StorageSettings
    from storage.verification import ServiceUnreachableError

    environment.load()
    storage, settings = StorageSettings(), HotStoreSettings()
    store = open_hot_store(settings, storage, pool_size=1)
    try:
        yield storage, settings, store
    except (
        HotStoreError,
        KafkaError,
        ServiceUnreachableError,
        BronzeError,
        ObjectStoreError,
        duckdb.IOException,
    ) as error:
        console.print(f"A service is unreachable: {error}. See `tidemark status`.", style="red", markup=False)
        raise typer.Exit(EXIT_UNREACHABLE) from error
    finally:
        store.close()
