"""`tidemark import`: history from a file, through the same contracts as live events."""

import json
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

    from ingestion.importers.mapping import ImportMapping
    from ingestion.importers.runner import Importer, ImportPlan

EXIT_BAD_OUTCOME = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
_LONGEST_RANGE_HOURS = 168


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="import")(import_)


def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="NDJSON or CSV, .gz too.")],
    mapping: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="TOML: which columns are what.")],
    app_id: Annotated[str, typer.Option("--app", help="The app that the events belong to.")] = "demo",
    again: Annotated[
        bool, typer.Option("--again", help="Send a finished import again; its event ids are the same.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and judge everything, send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout.")] = False,
) -> None:
    """Import a file. It goes on where an earlier run of the same file, mapping and app stopped.

    Exit 1 when the file is damaged (what was readable is imported), 2 for a mapping that cannot be used, 3 when broker or
    database are unreachable.
    """
    import structlog
    from sqlalchemy.exc import SQLAlchemyError

    from ingestion.importers.errors import ImportFailedError, MappingError, UnreachableError
    from ingestion.importers.mapping import load_mapping
    from local_stack import environment

    console = Console(stderr=True)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for data
    environment.load()
    try:
        loaded = load_mapping(mapping)
        report = _Run(file, loaded, app_id, console).run(is_dry=dry_run, again=again)
    except MappingError as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        raise typer.Exit(EXIT_USAGE) from None
    except ImportFailedError as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        raise typer.Exit(EXIT_UNREACHABLE if isinstance(error, UnreachableError) else EXIT_BAD_OUTCOME) from None
    except SQLAlchemyError as error:
        console.print(f"[red]the database does not answer ({type(error).__name__}); see `tidemark status`[/red]")
        raise typer.Exit(EXIT_UNREACHABLE) from None
    if as_json:
        typer.echo(json.dumps(report))


@dataclass(frozen=True)
class _Run:
    """One call of the command."""

    file: Path
    mapping: "ImportMapping"
    app_id: str
    console: Console

    def run(self, *, is_dry: bool, again: bool) -> dict[str, Any]:
        """The report. Raises: ImportFailedError, SQLAlchemyError."""
        with _progress_bar(self.console, self.file.stat().st_size) as bar:
            if is_dry:
                return self._dry_run(bar)
            return self._import(bar, again)

    def _dry_run(self, bar: "Progress") -> dict[str, Any]:
        from ingestion.importers.runner import Importer
        from ingestion.importers.state import MemoryStore
        from ingestion.sinks import DiscardingSink

        importer = Importer(self._plan(), self._reader(), DiscardingSink(), MemoryStore(), progress=_mover(bar))
        return self._finish(importer, is_dry=True)

    def _import(self, bar: "Progress", again: bool) -> dict[str, Any]:
        from ingestion.importers.runner import Importer
        from ingestion.importers.state import ImportState, PostgresStore, fingerprint, only_importer
        from storage.control.engine import make_engine
        from storage.settings import StorageSettings

        storage = StorageSettings()
        topics = storage.topics
        engine = make_engine(storage, pool_size=2)
        import_id = fingerprint(self.file, self.mapping, self.app_id, lambda _: None)
        store = PostgresStore(engine, import_id, self.file.name, topics.imports, topics.dead_letters)
        try:
            with only_importer(engine, import_id):
                state = store.load()
                if state.is_finished and not again:
                    return self._report_finished(state.row_number, state.accepted, state.rejected_by_reason)
                if state.is_finished:
                    store.save(ImportState(), [])
                elif state.row_number:
                    self.console.print(f"going on after row {state.row_number}")
                sink = _open_sink(storage.kafka_bootstrap_servers, topics.imports)
                try:
                    # Rows that an earlier run kept as dead letters are not kept twice.
                    plan = self._plan(keeps_rejected=not state.is_finished)
                    importer = Importer(plan, self._reader(), sink, store, progress=_mover(bar))
                    return self._finish(importer, is_dry=False)
                finally:
                    sink.close(10.0)
        finally:
            engine.dispose()

    def _plan(self, *, keeps_rejected: bool = True) -> "ImportPlan":
        from ingestion.importers.runner import ImportPlan
        from storage.settings import StorageSettings

        settings = StorageSettings()
        return ImportPlan(
            self.mapping,
            self.app_id,
            settings.topics.imports,
            settings.topics.dead_letters,
            settings.first_day,
            keeps_rejected=keeps_rejected,
        )

    def _reader(self) -> Any:
        from ingestion.importers.mapping import format_of
        from ingestion.importers.rows import RowReader

        return RowReader(self.file, format_of(self.file, self.mapping), self.mapping.delimiter)

    def _finish(self, importer: "Importer", *, is_dry: bool) -> dict[str, Any]:
        from ingestion.importers.errors import ImportFailedError

        started, failure = perf_counter(), None
        try:
            importer.run()
        except ImportFailedError as error:
            failure = error
        seconds = perf_counter() - started
        state, tally = importer.state, importer.tally
        report = {
            "file": self.file.name,
            "app_id": self.app_id,
            "dry_run": is_dry,
            "finished": failure is None,
            "rows": state.row_number,
            "rows_this_run": tally.rows,
            "accepted": state.accepted,
            "rejected": state.rejected,
            "rejected_by_reason": state.rejected_by_reason,
            "by_contract": dict(tally.by_contract),
            "by_type": dict(tally.by_type),
            "earliest": tally.earliest,
            "latest": tally.latest,
            "seconds": round(seconds, 3),
            "rows_per_second": round(tally.rows / seconds) if seconds > 0 else 0,
        }
        self._talk(report, tally.examples)
        if failure is not None:
            raise failure
        return report

    def _talk(self, report: dict[str, Any], examples: list[str]) -> None:
        verb = "would be imported" if report["dry_run"] else "imported"
        self.console.print(
            f"{report['accepted']} of {report['rows']} rows {verb}, {report['rejected']} rejected, "
            f"{report['rows_per_second']} rows/s",
            highlight=False,
        )
        for reason, count in sorted(report["rejected_by_reason"].items()):
            self.console.print(f"  {reason}: {count}", highlight=False)
        for example in examples:
            self.console.print(f"  for example {example}", highlight=False, markup=False)
        if report["latest"] is not None and not report["dry_run"]:
            self.console.print("Once `tidemark settle` returns:", highlight=False)
            self.console.print(
                query_line(report["earliest"], report["latest"]), soft_wrap=True, highlight=False, markup=False
            )

    def _report_finished(self, rows: int, accepted: int, rejected_by_reason: dict[str, int]) -> dict[str, Any]:
        self.console.print(f"this file was imported already ({rows} rows); nothing sent. --again sends it once more.")
        return {
            "file": self.file.name,
            "app_id": self.app_id,
            "dry_run": False,
            "finished": True,
            "rows": rows,
            "rows_this_run": 0,
            "accepted": accepted,
            "rejected": sum(rejected_by_reason.values()),
            "rejected_by_reason": rejected_by_reason,
            "by_contract": {},
            "by_type": {},
            "earliest": None,
            "latest": None,
            "seconds": 0.0,
            "rows_per_second": 0,
        }


def query_line(earliest: str, latest: str) -> str:
    """A curl whose range ends just after the last event and reaches back to the first, or as far as the API allows."""
    from local_stack.environment import read_endpoints
    from local_stack.settings import StackSettings

    until = datetime.fromisoformat(latest).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    span_hours = -((until - datetime.fromisoformat(earliest)) // -timedelta(hours=1))
    hours_back = max(1, min(span_hours, _LONGEST_RANGE_HOURS))
    found = read_endpoints(StackSettings())
    address, key = found.get("analytics", "http://127.0.0.1:8001"), found.get("read_key", "$READ_KEY")
    query = f"time_window=1hr&hours_back={hours_back}&until={until:%Y-%m-%dT%H:%M:%SZ}"
    return f"curl -s -H 'Authorization: Bearer {key}' '{address}/api/v1/analytics/events?{query}'"


def _open_sink(bootstrap_servers: str, topic: str) -> Any:
    """The producer of an import: patient, and gathering longer than the live one. Raises: UnreachableError."""
    from ingestion.importers.errors import UnreachableError
    from ingestion.sinks.errors import SinkUnavailableError
    from ingestion.sinks.kafka import KafkaSink, KafkaSinkSettings

    sink = KafkaSink(
        KafkaSinkSettings(
            bootstrap_servers, checked_topic=topic, message_timeout_seconds=30.0, linger_milliseconds=50.0
        )
    )
    try:
        sink.check(timeout_seconds=10.0)
    except SinkUnavailableError as error:
        sink.close(1.0)
        raise UnreachableError(f"{error}; see `tidemark status`") from None
    return sink


def _progress_bar(console: Console, size_bytes: int) -> "Progress":
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[rows]} rows"))
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
    bar.add_task("importing", total=size_bytes, rows=0)
    return bar


def _mover(bar: "Progress") -> Any:
    return lambda position, rows: bar.update(bar.task_ids[0], completed=position, rows=rows)
