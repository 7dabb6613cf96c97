"""`tidemark hot-store`: compares the hot store with bronze, and drops the days that are no longer kept."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from storage.hot_store.settings import HotStoreSettings
    from storage.hot_store.store import HotStore
    from storage.settings import StorageSettings

EXIT_WRONG = 1
EXIT_UNREACHABLE = 3
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(help="The hot store: live events of the last days.", no_args_is_help=True)
    group.command(name="check")(check)
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
        f" {found.missing_count} missing, {found.unfounded_count} unfounded, {found.excused_count} kept out by dead letters."
    )
    for what, names in (("missing", found.missing), ("unfounded", found.unfounded), ("dead letter", found.excused)):
        for name in names:
            console.print(f"  {what}: {name}", markup=False)
    if not found.ok:
        raise typer.Exit(EXIT_WRONG)


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
    from kafka.errors import KafkaError

    from local_stack import environment
    from storage.hot_store.errors import HotStoreError
    from storage.hot_store.opening import open_hot_store
    from storage.hot_store.settings import HotStoreSettings
    from storage.settings import StorageSettings
    from storage.verification import ServiceUnreachableError

    environment.load()
    storage, settings = StorageSettings(), HotStoreSettings()
    store = open_hot_store(settings, storage, pool_size=1)
    try:
        yield storage, settings, store
    except (HotStoreError, KafkaError, ServiceUnreachableError) as error:
        console.print(f"A service is unreachable: {error}. See `tidemark status`.", style="red", markup=False)
        raise typer.Exit(EXIT_UNREACHABLE) from error
    finally:
        store.close()
