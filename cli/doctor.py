"""`tidemark doctor`: whether this machine can run the stack, one line per thing that is wrong, with its remedy.

The part that must work before the venv exists is scripts/bootstrap.py, with the standard library only; this one adds ports and jars.
"""

import json
import shutil
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from local_stack.settings import StackSettings

EXIT_BAD = 1
NEEDED_DISK_GIBIBYTES = 5
GIBIBYTE = 1024**3


@dataclass(frozen=True)
class Finding:
    """One checked thing. `message` says what was found and, when it is bad, what to do."""

    subject: str
    is_ok: bool
    message: str


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Data as JSON on stdout.")] = False) -> None:
    """Check Java, Python, disk space, settings, ports and jars. Exit 1 when something would keep the stack from running."""
    from local_stack.settings import StackSettings

    findings = examine(StackSettings())
    if as_json:
        typer.echo(json.dumps({"ok": all(found.is_ok for found in findings), "checks": [asdict(f) for f in findings]}))
    else:
        console = Console(stderr=True)
        for found in findings:
            console.print("[green]ok [/]" if found.is_ok else "[red]bad[/]", f"{found.subject}: {found.message}")
    if not all(found.is_ok for found in findings):
        raise typer.Exit(EXIT_BAD)


def require_startable(settings: "StackSettings") -> None:
    """Nothing when the stack may start.

    Raises: RequirementError with one line for each thing in its way; AlreadyRunningError when it runs.
    """
    from local_stack.errors import AlreadyRunningError, RequirementError
    from local_stack.status_file import already_running, holder_pid

    if holder_pid(settings) is not None:
        raise AlreadyRunningError(already_running(settings))
    bad = [found for found in examine(settings) if not found.is_ok]
    if bad:
        raise RequirementError("\n".join(f"{found.subject}: {found.message}" for found in bad))


def examine(settings: "StackSettings") -> list[Finding]:
    """All findings. Ports count only while this home's own stack is down."""
    from local_stack.status_file import holder_pid

    findings = [_examine_python(), _examine_java(), _examine_disk(settings), _examine_jars(), _examine_settings()]
    if holder_pid(settings) is None:
        findings += _examine_ports(settings)
    return findings


def _examine_python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    is_ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("Python", is_ok, version if is_ok else f"{version} found, 3.11 to 3.13 needed; install one of them")


def _examine_java() -> Finding:
    from local_stack.errors import RequirementError
    from local_stack.java import OLDEST_JAVA, REMEDY, read_java_version

    try:
        version = read_java_version()
    except RequirementError as error:
        return Finding("Java", False, str(error))
    if version < OLDEST_JAVA:
        return Finding("Java", False, f"Java {version} found, {OLDEST_JAVA} or newer needed; {REMEDY}")
    return Finding("Java", True, str(version))


def _examine_disk(settings: "StackSettings") -> Finding:
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(folder).free / GIBIBYTE
    if free < NEEDED_DISK_GIBIBYTES:
        remedy = f"free some space on {folder} or set TIDEMARK_HOME to a folder on another disk"
        return Finding("disk", False, f"{free:.1f} GiB free, {NEEDED_DISK_GIBIBYTES} needed; {remedy}")
    return Finding("disk", True, f"{free:.0f} GiB free")


def _examine_jars() -> Finding:
    from local_stack.errors import RequirementError
    from local_stack.jars import ensure_jars

    try:
        jars = ensure_jars()
    except RequirementError as error:
        return Finding("jars", False, str(error))
    return Finding("jars", True, f"{len(jars.spark)} for Spark, {len(jars.broker)} for the broker")


def _examine_settings() -> Finding:
    """Those that every process reads; the others' own are told by the process that reads them."""
    from pydantic import ValidationError

    from runtime.settings import describe_invalid
    from storage.settings import StorageSettings

    try:
        topics = StorageSettings().topics
    except ValidationError as error:
        return Finding("settings", False, describe_invalid(error))
    return Finding("settings", True, f"events in topic {topics.live}, dead letters in {topics.dead_letters}")


def _examine_ports(settings: "StackSettings") -> list[Finding]:
    from local_stack.ports import describe_holder, is_free

    taken = [(name, port) for name, port in settings.ports.items() if not is_free(port)]
    if not taken:
        return [Finding("ports", True, "all free")]
    return [
        Finding(
            f"port {port} ({name})",
            False,
            f"in use by {describe_holder(port) or 'another process'}; stop it, or shift all ports with TIDEMARK_PORT_OFFSET=100",
        )
        for name, port in taken
    ]
