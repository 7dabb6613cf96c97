"""Options that the quarantine commands share: which records, and which fix."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from ingestion.redrive.fixes import Fix
    from storage.quarantine import Selection

EXIT_BAD_OUTCOME = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3


class Stage(StrEnum):
    """Where a record was rejected."""

    EDGE = "edge"
    LANDING = "landing"
    SILVER = "silver"


class Status(StrEnum):
    """What has become of it."""

    QUARANTINED = "quarantined"
    REDRIVEN = "redriven"


class Family(StrEnum):
    """A contract family, by name."""

    ENGAGEMENT = "engagement"
    PRODUCT = "product"
    GENERIC = "generic"
    SOCIAL = "social"
    DOWNLOAD = "download"
    SEGMENT = "segment"
    CLOUDEVENT = "cloudevent"


Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", help="A reason code; missing_field takes missing_field:user_id too. Repeatable."),
]
AppId = Annotated[str | None, typer.Option("--app", help="Records of this app only.")]
FromAt = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Received at this time or later: RFC 3339, UTC.")
]
ToAt = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Received before this time.")]
Stages = Annotated[list[Stage] | None, typer.Option("--stage", help="Where it was rejected. Repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def selection_of(
    reasons: list[str] | None,
    app_id: str | None,
    from_at: str | None,
    to_at: str | None,
    stages: list[Stage] | None,
    status: Status | None,
    limit: int | None,
) -> "Selection":
    """The selection that the options say. Ends the command with 2 for a time that is none."""
    from storage.quarantine import Selection

    return Selection(
        reasons=tuple(reasons or ()),
        app_id=app_id,
        stages=tuple(stage.value for stage in stages or ()),
        status=None if status is None else ("redriven" if status is Status.REDRIVEN else "quarantined"),
        from_at=time_of("--from", from_at),
        to_at=time_of("--to", to_at),
        limit=limit,
    )


def time_of(option: str, text: str | None) -> datetime | None:
    """The time that an option says; a date is its midnight. Ends the command with 2 for anything else."""
    from ingestion.contracts.clocks import TimestampError, parse_timestamp

    if text is None:
        return None
    try:
        return datetime.fromisoformat(
            parse_timestamp(text if len(text) > len("2026-01-01") else f"{text}T00:00:00Z")
        ).astimezone(UTC)
    except TimestampError as error:
        refuse(f"{option}: {error}", EXIT_USAGE)


def fix_of(
    file: Path | None,
    family: Family | None,
    set_: list[str] | None,
    rename: list[str] | None,
    cast: list[str] | None,
    drop: list[str] | None,
) -> "Fix":
    """The fix that the options say: a file, or one rule for every record. Ends the command with 2 when it cannot be used."""
    from ingestion.redrive.errors import FixError
    from ingestion.redrive.fixes import FixRule, NoFix, RuleFix, load_fix

    try:
        if not (family or set_ or rename or cast or drop):
            return NoFix() if file is None else load_fix(file)
        if file is not None:
            raise FixError("--fix is the whole fix: give it or --set, --rename, --cast, --drop and --family, not both")
        rule: dict[str, Any] = {
            "family": None if family is None else family.value,
            "set": dict(_setting(text) for text in set_ or ()),
            "rename": dict(_pair("--rename", text) for text in rename or ()),
            "cast": dict(_pair("--cast", text) for text in cast or ()),
            "drop": tuple(drop or ()),
        }
        return RuleFix((FixRule.model_validate(rule),))
    except FixError as error:
        refuse(str(error), EXIT_USAGE)


def _pair(option: str, text: str) -> tuple[str, str]:
    from ingestion.redrive.errors import FixError

    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise FixError(f"{option}: expected NAME=VALUE")
    return name, value


def _setting(text: str) -> tuple[str, Any]:
    """NAME=TEXT, or NAME:=JSON."""
    from ingestion.redrive.errors import FixError

    name, equals, value = text.partition("=")
    if not name.rstrip(":") or not equals:
        raise FixError("--set: expected NAME=TEXT, or NAME:=JSON for a number, true, false, an array or an object")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except json.JSONDecodeError as error:
        raise FixError(f"--set {name[:-1]}: no JSON behind the :=, {error}") from None


def refuse(message: str, code: int) -> NoReturn:
    """Says why and ends the command."""
    Console(stderr=True).print(message, style="red", markup=False, highlight=False)
    raise typer.Exit(code)
