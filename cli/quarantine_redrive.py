"""`tidemark quarantine redrive`: chosen records, repaired where asked, judged by the edge's own code, produced again once."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.quarantine_options import (
    EXIT_BAD_OUTCOME,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    AppId,
    AsJson,
    Family,
    FromAt,
    Reasons,
    Stages,
    ToAt,
    fix_of,
    refuse,
    selection_of,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ingestion.contracts.quarantine import QuarantinedRecord
    from ingestion.contracts.validation import Rejection
    from ingestion.redrive.fixes import Fix
    from ingestion.redrive.judging import RecordJudge, Recovered, Skipped
    from ingestion.redrive.report import Report
    from storage.quarantine import Selection


def redrive(
    reason: Reasons = None,
    app_id: AppId = None,
    from_at: FromAt = None,
    to_at: ToAt = None,
    stage: Stages = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Records to look at, at most.")] = None,
    fix: Annotated[
        Path | None, typer.Option("--fix", exists=True, dir_okay=False, help="TOML with rules; see docs/quarantine.md.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=TEXT", help="Give a field; NAME:=JSON for other types.")
    ] = None,
    rename: Annotated[list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="Move a field.")] = None,
    cast: Annotated[
        list[str] | None,
        typer.Option("--cast", metavar="NAME=TYPE", help="text, integer, number, boolean, rfc3339, epoch_seconds, …"),
    ] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop", metavar="NAME", help="Remove a field.")] = None,
    family: Annotated[Family | None, typer.Option("--family", help="The contract that judges the result.")] = None,
    as_app: Annotated[str | None, typer.Option("--as-app", help="The app of records that name none.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of each record, send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring quarantined records back as events. Each comes back once, however often this runs; the rest stay, with their reasons.

    Exit 1 when another redrive runs or bronze does not hold a record, 2 for a fix that cannot be used, 3 when a service is unreachable.
    """
    from local_stack import environment

    environment.load()
    console = Console(stderr=True)
    selection = selection_of(reason, app_id, from_at, to_at, stage, None, limit)
    call = _Call(selection, fix_of(fix, family, set_, rename, cast, drop), as_app, console)
    if not dry_run and not yes:
        if not sys.stdin.isatty():
            refuse("Nothing is sent without a yes: add --yes, or --dry-run to see what would be done.", EXIT_USAGE)
        _print(console, call.run(is_dry=True), is_dry=True)
        typer.confirm("Redrive these records?", abort=True, err=True)
    report = call.run(is_dry=dry_run)
    if as_json:
        typer.echo(
            json.dumps({"dry_run": dry_run, "request_id": None if dry_run else call.request_id, **report.as_dict()})
        )
    _print(console, report, is_dry=dry_run)


class _Call:
    """One call of the command."""

    def __init__(self, selection: "Selection", fix: "Fix", as_app: str | None, console: Console) -> None:
        self._selection = selection
        self._fix = fix
        self._as_app = as_app
        self._console = console
        self.request_id = str(uuid4())

    def run(self, *, is_dry: bool) -> "Report":
        """The report. Ends the command where it cannot be had."""
        import duckdb
        import structlog
        from sqlalchemy.exc import SQLAlchemyError

        from ingestion.redrive.errors import RedriveError
        from ingestion.schema_registry.store import StoreUnavailableError
        from storage.bronze import BronzeError
        from storage.control import make_engine
        from storage.control.redrives import RedriveRunningError
        from storage.settings import StorageSettings

        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for data
        engine = make_engine(StorageSettings(), pool_size=3)
        try:
            return self._run(engine, is_dry=is_dry)
        except (RedriveRunningError, BronzeError) as error:
            refuse(str(error), EXIT_BAD_OUTCOME)
        except RedriveError as error:
            refuse(str(error), EXIT_UNREACHABLE)
        except (SQLAlchemyError, StoreUnavailableError, duckdb.IOException) as error:
            refuse(f"The database does not answer ({type(error).__name__}); see `tidemark status`.", EXIT_UNREACHABLE)
        finally:
            engine.dispose()

    def _run(self, engine: "Engine", *, is_dry: bool) -> "Report":
        from ingestion.redrive.journal import PostgresJournal, Request
        from ingestion.redrive.runner import Parts, Redriver
        from ingestion.redrive.tail import KafkaTail
        from ingestion.sinks import DiscardingSink
        from storage.control.redrives import only_redrive
        from storage.quarantine import open_quarantine
        from storage.settings import StorageSettings

        storage = StorageSettings()
        live_topic = storage.topics.live
        request = Request(self.request_id, self._selection.as_dict(), self._fix.fingerprint, live_topic)
        judge = make_judge(engine, self._fix, self._as_app)
        tail = KafkaTail(storage.kafka_bootstrap_servers)
        with self._console.status("reading the quarantine…") as status, only_redrive(engine):
            sink: Any = DiscardingSink() if is_dry else _open_sink(storage.kafka_bootstrap_servers, live_topic)
            parts = Parts(judge, sink, PostgresJournal(engine), tail)
            redriver = Redriver(parts, request, lambda count: status.update(f"{count} records looked at…"))
            try:
                with open_quarantine(storage, engine) as quarantine:
                    batches = quarantine.batches(self._selection)
                    return redriver.preview(batches) if is_dry else redriver.run(batches)
            finally:
                sink.close(10.0)


def judge_one(record: "QuarantinedRecord") -> "Recovered | Rejection | Skipped":
    """What the edge would say to a record now, as it is. Raises: StoreUnavailableError, SQLAlchemyError."""
    from ingestion.redrive.fixes import NoFix
    from storage.control import make_engine
    from storage.settings import StorageSettings

    engine = make_engine(StorageSettings(), pool_size=1)
    try:
        judge = make_judge(engine, NoFix(), None)
        judge.learn([record])
        return judge.judge(record)
    finally:
        engine.dispose()


def make_judge(engine: "Engine", fix: "Fix", as_app: str | None) -> "RecordJudge":
    """The edge's judgement with what the edge knows: schemas, experiments, apps with keys. Raises: SQLAlchemyError."""
    from ingestion.contracts import download
    from ingestion.contracts.experiments import UNREGISTERED_VARIANTS
    from ingestion.redrive.judging import RecordJudge
    from ingestion.schema_registry.decoding import decoder_of
    from ingestion.schema_registry.store import PostgresRegistryStore
    from ingestion.settings import IngestionSettings
    from storage.control import experiments
    from storage.control.key_ring import KeyRing
    from storage.settings import StorageSettings

    variants = {key: frozenset(experiment.variants) for key, experiment in experiments.read_all(engine).items()}
    return RecordJudge(
        fix,
        decoder_of(download.CONTRACT, PostgresRegistryStore(engine).find_text),
        first_day=StorageSettings().first_day,
        event_max_bytes=IngestionSettings().single_body_max_bytes,
        guarded_apps=KeyRing(engine).apps_with_keys(),
        variants_of=lambda app_id, experiment_id: variants.get((app_id, experiment_id), UNREGISTERED_VARIANTS),
        app_for_unknown=as_app,
    )


def _open_sink(bootstrap_servers: str, topic: str) -> Any:
    from ingestion.redrive.errors import RedriveStoppedError
    from ingestion.sinks.errors import SinkUnavailableError
    from ingestion.sinks.kafka import KafkaSink, KafkaSinkSettings

    sink = KafkaSink(KafkaSinkSettings(bootstrap_servers, checked_topic=topic, message_timeout_seconds=30.0))
    try:
        sink.check(timeout_seconds=10.0)
    except SinkUnavailableError as error:
        sink.close(1.0)
        raise RedriveStoppedError(f"{error}; see `tidemark status`") from None
    return sink


def _print(console: Console, report: "Report", *, is_dry: bool) -> None:
    found = report.as_dict()
    kinds = ("redriven", "already", "still_bad", "skipped")
    table = Table("reason", "would be redriven" if is_dry else "redriven", "already redriven", "still bad", "skipped")
    for reason, counts in found["by_reason"].items():
        table.add_row(escape(reason), *(str(counts[kind]) for kind in kinds))
    console.print(table)
    verb = "would be redriven" if is_dry else "redriven"
    console.print(
        f"{found['selected']} selected = {found['redriven']} {verb} + {found['already']} already redriven "
        f"+ {found['still_bad']} still bad + {found['skipped']} skipped",
        highlight=False,
    )
    for reason, count in found["remaining_reasons"].items():
        console.print(f"  stays for {reason}: {count}", highlight=False, markup=False)
    if found["redriven"] and not is_dry:
        console.print("They are published once `tidemark settle` returns.")
