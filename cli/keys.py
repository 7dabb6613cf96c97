"""`tidemark keys`: makes, lists, rotates and revokes API keys. A key is printed once, when it is made, and on stdout only.

Services see a change within five seconds. The rules are in `storage.control.keys`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from storage.control.keys import KeyRecord

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
COLUMNS = ("state", "created (UTC)", "last used", "ends")
SEEN = "Services see this within 5 s."
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_APP_ID = re.compile(r"[^\s\x00-\x1f\x7f]{1,100}\Z")
Outcome = TypeVar("Outcome")


class Kind(StrEnum):
    """What a key may do."""

    WRITE = "write"
    READ = "read"


AppId = Annotated[str, typer.Argument(metavar="APP", help="The app, 1 to 100 characters without spaces.")]
KindOption = Annotated[Kind, typer.Option("--kind", help="A write key sends events, a read key asks for numbers.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and do nothing.")]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True)
    for name, command in (("create", create), ("list", list_), ("rotate", rotate), ("revoke", revoke)):
        group.command(name=name)(command)
    app.add_typer(group, name="keys")


def create(
    app_id: AppId,
    kind: KindOption = Kind.WRITE,
    expires_after: Annotated[
        str | None, typer.Option("--expires-after", metavar="30d", help="End the key by itself: 90s, 15m, 24h or 30d.")
    ] = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Make a key and print it, once. Exit 1 when the app has two live keys of the kind, 3 when the database is unreachable."""
    from storage.control import keys

    _check_app(app_id)
    lifetime = None if expires_after is None else _duration(expires_after, "--expires-after")

    def work(engine: "Engine") -> dict[str, Any]:
        if dry_run:
            live = [key for key in keys.list_keys(engine, app_id) if key.kind == kind.value and key.state == "live"]
            if len(live) >= keys.MAX_LIVE_KEYS:
                raise keys.TooManyKeysError(app_id, kind.value, live)
            return {"would": "create", "app_id": app_id, "kind": kind.value, "live": [_as_dict(key) for key in live]}
        made = keys.issue_key(engine, app_id, kind.value, lifetime)
        return {"key": made.plaintext, **_as_dict(made.record)}

    outcome = _run(work)
    _tell(outcome, as_json, f"Would make a {kind.value} key for {app_id}." if dry_run else _made(outcome))


def list_(
    app_id: Annotated[str | None, typer.Argument(metavar="[APP]", help="One app's keys only.")] = None,
    as_json: AsJson = False,
) -> None:
    """List keys: what is known of them, never the keys themselves. Exit 3 when the database is unreachable."""
    from storage.control import keys

    found = _run(lambda engine: keys.list_keys(engine, app_id))
    if as_json:
        typer.echo(json.dumps({"keys": [_as_dict(key) for key in found]}))
        return
    table = Table(Column("key id", no_wrap=True), "app", "kind", Column("key", no_wrap=True), *COLUMNS, box=None)
    for key in found:
        ends = key.revoked_at or key.expires_at
        shown = f"{key.prefix}…{key.last_four}" if key.prefix else ""
        times = [_short(at) for at in (key.created_at, key.last_used_at, ends)]
        table.add_row(key.key_id, key.app_id, key.kind, shown, key.state, *times)
    Console().print(table)


def rotate(
    app_id: AppId,
    kind: KindOption = Kind.WRITE,
    grace: Annotated[
        str, typer.Option("--grace", metavar="24h", help="How long the present key still works: 90s, 15m, 24h or 7d.")
    ] = "0s",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Make the next key and end the present one, at once or after --grace. Exit 1 when a grace would leave three live keys."""
    from storage.control import keys

    _check_app(app_id)
    wait = _duration(grace, "--grace")

    def work(engine: "Engine") -> dict[str, Any]:
        if dry_run:
            live = [key for key in keys.list_keys(engine, app_id) if key.kind == kind.value and key.state == "live"]
            if wait and len(live) >= keys.MAX_LIVE_KEYS:
                raise keys.TooManyKeysError(app_id, kind.value, live)
            return {
                "would": "rotate",
                "app_id": app_id,
                "kind": kind.value,
                "replaced": [_as_dict(key) for key in live],
            }
        done = keys.rotate_keys(engine, app_id, kind.value, wait)
        replaced = [_as_dict(key) for key in done.replaced]
        return {"key": done.new.plaintext, **_as_dict(done.new.record), "replaced": replaced}

    outcome = _run(work)
    ended = ", ".join(key["key_id"] for key in outcome["replaced"]) or "none"
    when = f"after {grace}" if wait else "at once"
    text = f"Would make a {kind.value} key for {app_id}" if dry_run else _made(outcome)
    _tell(outcome, as_json, f"{text} Replaced, ending {when}: {ended}.{'' if dry_run else ' ' + SEEN}")


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `tidemark keys list` shows it; never the key.")],
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """End a key for good. Done twice it changes nothing. Exit 1 when there is no such key."""
    from storage.control import keys

    def work(engine: "Engine") -> dict[str, Any] | None:
        if not dry_run:
            keys.revoke_key(engine, key_id)
        found = keys.list_keys(engine, key_id=key_id)
        return ({"would": "revoke"} if dry_run else {}) | _as_dict(found[0]) if found else None

    outcome = _run(work)
    if outcome is None:
        # What was typed may be a key: it is not repeated.
        _fail("There is no key with this id. `tidemark keys list` shows the ids (write_… or read_…).", EXIT_REFUSED)
    text = f"{outcome['key_id']} of {outcome['app_id']}"
    _tell(outcome, as_json, f"Would revoke {text}." if dry_run else f"Revoked: {text}. {SEEN}")


def _run(work: "Callable[[Engine], Outcome]") -> Outcome:
    """What `work` gives, over the stack's database."""
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from local_stack import environment
    from storage.control import make_engine
    from storage.control.keys import TooManyKeysError
    from storage.settings import StorageSettings

    environment.load()
    engine = make_engine(StorageSettings(), pool_size=1)
    try:
        return work(engine)
    except TooManyKeysError as error:
        _fail(f"{error}. Revoke one with `tidemark keys revoke KEY_ID`, or rotate without --grace.", EXIT_REFUSED)
    except OperationalError:
        _fail("The database is unreachable. See `tidemark status`.", EXIT_UNREACHABLE)
    except ProgrammingError:
        _fail(
            "The database lacks the control tables of this version. `tidemark up` brings it up to date.", EXIT_REFUSED
        )
    finally:
        engine.dispose()


def _fail(message: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False).print(message, markup=False)
    raise typer.Exit(code)


def _tell(outcome: dict[str, Any], as_json: bool, text: str) -> None:
    """The key, or all of the outcome, on stdout; talk on stderr."""
    if as_json:
        typer.echo(json.dumps(outcome))
    elif "key" in outcome:
        typer.echo(outcome["key"])
    Console(stderr=True, highlight=False).print(text, markup=False)


def _made(outcome: dict[str, Any]) -> str:
    return f"Made {outcome['key_id']} for {outcome['app_id']}. The key is shown this once; only its hash is kept."


def _as_dict(key: "KeyRecord") -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(key).items()}


def _short(at: datetime | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%d %H:%M")


def _check_app(app_id: str) -> None:
    if not _APP_ID.match(app_id):
        _fail("APP must have 1 to 100 characters and no spaces.", EXIT_USAGE)


def _duration(text: str, option: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        _fail(f"{option} must be a number and a unit, such as 90s, 15m, 24h or 30d.", EXIT_USAGE)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
