"""`tidemark recover`: a new checkpoint for landing, exactly behind what bronze holds, or for the live windows. Prints the plan first."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from streaming.recovery import RecoveryPlan

EXIT_REFUSED = 1
EXIT_UNREACHABLE = 3
KAFKA_WAIT_SECONDS = 10.0


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(help="Repairs that need a person's word.", no_args_is_help=True)
    group.command(name="land-bronze")(recover_land_bronze)
    group.command(name="realtime-windows")(recover_realtime_windows)
    app.add_typer(group, name="recover")


def recover_land_bronze(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON on stdout.")] = False,
) -> None:
    """Give landing a new checkpoint at bronze's highest offset + 1. Exit 1 when refused, 3 when Kafka is unreachable."""
    from local_stack import environment
    from streaming.errors import ConfigurationError, KafkaUnreachableError

    console = Console(stderr=True)
    environment.load()
    try:
        with console.status("counting the offsets in bronze…"):
            plan, is_done = plan_and_perform(dry_run=dry_run)
    except KafkaUnreachableError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(EXIT_UNREACHABLE) from error
    except ConfigurationError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(EXIT_REFUSED) from error
    if as_json:
        typer.echo(json.dumps({**asdict(plan), "performed": is_done}))
    console.print(describe(plan, is_done=is_done), markup=False)


def recover_realtime_windows(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON on stdout.")] = False,
) -> None:
    """Give the live windows a new checkpoint; what gold has not published is counted again. Exit 3 when Kafka is unreachable."""
    from local_stack import environment
    from storage.control.engine import make_engine
    from storage.settings import StorageSettings
    from streaming.errors import KafkaUnreachableError
    from streaming.kafka_topics import read_offsets_at
    from streaming.live_recovery import perform_recovery, plan_recovery

    console = Console(stderr=True)
    environment.load()
    storage = StorageSettings()
    engine = make_engine(storage, pool_size=1)
    try:
        plan = plan_recovery(
            engine,
            lambda moment: read_offsets_at(storage.kafka_bootstrap_servers, storage.topics.live, moment),
            datetime.now(UTC),
            late_after_seconds=storage.late_after_seconds,
        )
    except KafkaUnreachableError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(EXIT_UNREACHABLE) from error
    if not dry_run:
        perform_recovery(engine, plan)
    engine.dispose()
    if as_json:
        typer.echo(json.dumps({**asdict(plan), "performed": not dry_run}, default=str))
    starts = ", ".join(
        f"{topic}/{p} at {offset}" for topic, of in plan.starts.items() for p, offset in sorted(of.items())
    )
    verb = "count" if not dry_run else "would count"
    console.print(
        f"The live windows {verb} minutes from {plan.counted_from:%Y-%m-%dT%H:%MZ} on again, with a new checkpoint (generation "
        f"{plan.generation}) from {starts}. Start them with `tidemark up`.",
        markup=False,
    )


def plan_and_perform(*, dry_run: bool) -> "tuple[RecoveryPlan, bool]":
    """The plan, and whether it was carried out: never on a dry run, nor when landing can start as things are."""
    from storage.settings import StorageSettings
    from streaming.kafka_topics import EndOffsetReader, wait_for_topics
    from streaming.recovery import Recovery
    from streaming.session import build_spark
    from streaming.settings import StreamingSettings

    storage, settings = StorageSettings(), StreamingSettings()
    topics = wait_for_topics(storage.kafka_bootstrap_servers, storage.topics.landed, timeout_seconds=KAFKA_WAIT_SECONDS)
    reader = EndOffsetReader(storage.kafka_bootstrap_servers, storage.topics.landed)
    ends = reader.read()
    reader.close()
    spark = build_spark(settings, "tidemark-recover")
    try:
        recovery = Recovery(spark, storage, settings)
        plan = recovery.plan(topics, ends)
        if plan.is_needed and not dry_run:
            recovery.perform(plan)
            return plan, True
        return plan, False
    finally:
        spark.stop()


def describe(plan: "RecoveryPlan", *, is_done: bool) -> str:
    """The plan in words."""
    if not plan.is_needed:
        return "Nothing to recover: the checkpoint goes on exactly where bronze ends."
    starts = ", ".join(
        f"{topic}/{partition} at {offset}"
        for topic, of in sorted(plan.starting_offsets.items())
        for partition, offset in sorted(of.items())
    )
    verb = "Landing starts" if is_done else "Landing would start"
    return (
        f"{verb} a new checkpoint (generation {plan.generation}) with {plan.waiting_records} records to land: "
        f"{starts or 'every topic'}, all else from its first record."
    )
