"""`tidemark seed`: a whole social graph, sent as events. The same as `tidemark send --family social`, with few options."""

from pathlib import Path
from typing import Annotated

import typer

from cli import send_options as of
from cli.send_options import FamilyChoice


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="seed")(seed)


def seed(
    users: Annotated[int, typer.Option(min=1, help="Users.")] = 1000,
    posts: Annotated[int, typer.Option(min=1, help="Posts, 60 % of them with comments.")] = 10_000,
    hashtags: Annotated[int, typer.Option(min=4, help="Hashtags to draw from.")] = 150,
    repeats: of.Repeats = None,
    as_of: Annotated[str | None, typer.Option(help="RFC 3339 time at which the graph ends; default now.")] = None,
    seed_number: Annotated[int, typer.Option("--seed", help="Same seed and --as-of: same bytes.")] = 1337,
    endpoint: Annotated[str | None, typer.Option(help="Ingestion address; default: this stack's.")] = None,
    key: Annotated[str | None, typer.Option(help="Write key; default: this stack's.")] = None,
    receipts: Annotated[Path | None, typer.Option(help="File for receipts (NDJSON).")] = None,
    truth: Annotated[Path | None, typer.Option(help="File for the ground truth (JSON).")] = None,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the lines to this file instead.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Generate and count, send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout.")] = False,
) -> None:
    """Send a seeded social graph: users, posts, comments and engagements. Exit codes as `tidemark send`."""
    from cli.send import send

    send(
        family=FamilyChoice.SOCIAL,
        users=users,
        posts=posts,
        hashtags=hashtags,
        repeats=repeats,
        anchor=as_of,
        seed=seed_number,
        batch_size=1000,
        endpoint=endpoint,
        key=key,
        receipts=receipts,
        truth=truth,
        out=out,
        dry_run=dry_run,
        as_json=as_json,
    )
