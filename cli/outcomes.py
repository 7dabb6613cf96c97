"""From what can go wrong in replays, plans and scratches to a message and an exit code, in one place."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

EXIT_BAD = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_TIMEOUT = 4


@contextmanager
def exit_codes(console: Console) -> Iterator[None]:
    """Says what went wrong and exits: 1 an outcome is bad, 2 wrong usage, 3 a needed service is unreachable."""
    from kafka.errors import KafkaError
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from platform_assets.build import NothingLandedError
    from platform_assets.dbt_project import ProjectError
    from platform_assets.dbt_run import BuildFailedError
    from platform_assets.replay import ReplayRangeError
    from storage.control.replays import ReplayConflictError
    from storage.plan_application import PlanRefusedError
    from storage.promotion import PromotionError
    from storage.scratch import ScratchError
    from streaming.errors import StreamingError

    refused = (
        NothingLandedError,
        ProjectError,
        ReplayConflictError,
        PlanRefusedError,
        PromotionError,
        ScratchError,
        StreamingError,
    )
    try:
        yield
    except ReplayRangeError as error:
        _say(console, str(error))
        raise typer.Exit(EXIT_USAGE) from error
    except BuildFailedError as error:
        for node in error.failed:
            _say(console, f"{node.kind} {node.name}: {node.failures} rows. {node.message}")
        _say(console, "The build failed: nothing was kept, and nothing published is touched.")
        raise typer.Exit(EXIT_BAD) from error
    except refused as error:
        _say(console, str(error))
        raise typer.Exit(EXIT_BAD) from error
    except (OperationalError, ProgrammingError, KafkaError) as error:
        _say(console, f"A service is unreachable or was never set up ({type(error).__name__}). See `tidemark status`.")
        raise typer.Exit(EXIT_UNREACHABLE) from error


def _say(console: Console, text: str) -> None:
    console.print(text, style="red", markup=False, highlight=False)
