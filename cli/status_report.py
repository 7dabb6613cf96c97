"""What `tidemark status` tells: processes with their memory, and the state of publication. Reads only."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from local_stack import environment
from local_stack.memory import tree_mebibytes
from local_stack.settings import StackSettings
from local_stack.status_file import ProcessStatus, read_status

if TYPE_CHECKING:
    from storage.control.alerts import Alert

COLOURS = {"ready": "green", "done": "dim", "starting": "yellow", "waiting": "dim", "stopping": "yellow"}


@dataclass(frozen=True)
class ProcessReport:
    """A process with its memory in MiB, its children included."""

    process: ProcessStatus
    memory_mebibytes: float | None


@dataclass(frozen=True)
class StatusReport:
    """`publication` is one line for people, or says why there is none to read; `alerts` are the open ones."""

    state: str
    supervisor_pid: int | None
    processes: tuple[ProcessReport, ...]
    publication: dict[str, Any]
    alerts: "tuple[Alert, ...]"

    @property
    def is_ready(self) -> bool:
        """Every service is ready and nothing keeps hours from being published."""
        services = [report.process for report in self.processes if not report.process.is_task]
        return self.state == "ready" and all(service.state == "ready" for service in services)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "state": self.state,
            "is_ready": self.is_ready,
            "supervisor_pid": self.supervisor_pid,
            "memory_mebibytes": self.memory_mebibytes,
            "processes": [
                {**asdict(report.process), "memory_mebibytes": report.memory_mebibytes} for report in self.processes
            ],
            "publication": self.publication,
            "alerts": [{**asdict(alert), "opened_at": alert.opened_at.isoformat()} for alert in self.alerts],
        }

    @property
    def memory_mebibytes(self) -> float:
        """All processes together."""
        return round(sum(report.memory_mebibytes or 0.0 for report in self.processes), 1)


def read_report(settings: StackSettings) -> StatusReport:
    """The stack now."""
    found = read_status(settings)
    processes = tuple(
        ProcessReport(process, tree_mebibytes(process.pid) if process.pid else None) for process in found.processes
    )
    publication, alerts = read_database(settings, found.state)
    return StatusReport(found.state, found.supervisor_pid, processes, publication, alerts)


def read_database(settings: StackSettings, state: str) -> "tuple[dict[str, Any], tuple[Alert, ...]]":
    """Newest publication, dirty hours and what blocks them, and the open alerts; without a database, only a summary that says so."""
    if state not in ("ready", "starting"):
        return {"summary": "unknown: the stack does not run"}, ()
    from sqlalchemy.exc import SQLAlchemyError

    from storage.control import make_engine
    from storage.control.alerts import list_open
    from storage.publication_state import read
    from storage.settings import StorageSettings

    environment.load(settings)
    engine = make_engine(StorageSettings(), pool_size=1)
    try:
        found, alerts = read(engine), tuple(list_open(engine))
    except SQLAlchemyError as error:
        return {"summary": f"unknown: the database does not answer ({type(error).__name__})"}, ()
    finally:
        engine.dispose()
    publication = {
        "summary": found.summary,
        "publication_id": found.publication.publication_id if found.publication else None,
        "published_at": found.publication.published_at.isoformat() if found.publication else None,
        "dirty_hours": [hour.hour.isoformat() for hour in found.dirty],
        "blocked": [{"hour": hour.hour.isoformat(), "blocked_by": hour.blocked_by} for hour in found.blocked],
    }
    return publication, alerts


def print_table(report: StatusReport) -> None:
    """For people, on stdout."""
    console = Console()
    console.print(f"stack {report.state}", style="green" if report.is_ready else "yellow")
    if report.processes:
        table = Table("process", "state", "pid", "restarts", "MiB", "", box=None, pad_edge=False)
        for item in report.processes:
            process = item.process
            table.add_row(
                process.name,
                f"[{COLOURS.get(process.state, 'red')}]{process.state}[/]",
                str(process.pid or ""),
                str(process.restarts or ""),
                f"{item.memory_mebibytes:.0f}" if item.memory_mebibytes else "",
                process.detail.replace("[", r"\["),
            )
        console.print(table)
        console.print(f"memory {report.memory_mebibytes:.0f} MiB", highlight=False)
    console.print(f"publication: {report.publication['summary']}", highlight=False)
    for alert in report.alerts:
        text = f"alert since {alert.opened_at:%Y-%m-%dT%H:%MZ}: {alert.kind} {alert.subject}. {alert.message}"
        console.print(text, style="red", markup=False, highlight=False)
