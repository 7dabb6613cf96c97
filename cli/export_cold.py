"""`tidemark export-cold`: the raw events of one day as files, local or in S3. The work is in `storage.cold_export`."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

EXIT_FAILED = 1


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="export-cold")(export_cold)


def export_cold(
    day: Annotated[
        datetime, typer.Option("--date", formats=["%Y-%m-%d"], help="UTC day of occurred_at, such as 2026-01-05.")
    ],
    to: Annotated[
        str | None, typer.Option("--to", help="Folder, or s3://BUCKET/PREFIX. Default: `cold` in this stack's home.")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="One gzipped NDJSON object per hour instead of a file per event.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be written, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Write each good event of a day to events/YYYY/MM/DD/{event_id}.json, its bytes as sent. Again: the same tree."""
    from botocore.exceptions import BotoCoreError, ClientError

    from local_stack import environment
    from local_stack.settings import StackSettings
    from storage.cold_export import export_day, open_target
    from storage.settings import StorageSettings

    console = Console(stderr=True)
    environment.load()
    storage = StorageSettings()
    uri = to or str(StackSettings().home / "cold")
    try:
        with console.status("exporting…") as status:
            found = export_day(
                storage,
                day.date(),
                None if dry_run else open_target(uri, storage),
                compact=compact,
                progress=lambda count: status.update(f"exporting… {count:,} events"),
            )
    except (OSError, BotoCoreError, ClientError) as error:
        console.print(f"{uri} cannot be written: {error}", style="red", markup=False)
        raise typer.Exit(EXIT_FAILED) from error
    if as_json:
        values = {**asdict(found), "day": found.day.isoformat(), "to": uri, "dry_run": dry_run}
        typer.echo(json.dumps(values))
    verb = "would be written" if dry_run else "written"
    console.print(
        f"{found.event_count:,} events of {found.day} {verb} as {found.file_count:,} files,"
        f" {found.size_bytes / 2**20:,.1f} MiB, below {uri}",
        markup=False,
    )
