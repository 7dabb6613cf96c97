"""The `tidemark` command: collects the groups of commands. Each module beside this one registers its own.

Every command takes `--json`: data on stdout, talk on stderr. Exit codes: 0 ok, 1 a check or outcome is bad, 2 wrong usage, 3 a needed
service is unreachable, 4 not in time.
"""

import importlib
import sys

import typer
from pydantic import ValidationError
from rich.console import Console

from runtime.settings import describe_invalid

EXIT_USAGE = 2

# In the order of `tidemark --help`.
COMMAND_MODULES = (
    "cli.stack",
    "cli.demo",
    "cli.send",
    "cli.seed",
    "cli.import_",
    "cli.settle",
    "cli.verify",
    "cli.quarantine",
    "cli.trace",
    "cli.replay",
    "cli.plan",
    "cli.scratch",
    "cli.recover",
    "cli.hot_store",
    "cli.streams",
    "cli.export_cold",
    "cli.keys",
    "cli.contracts",
)


def build_app() -> typer.Typer:
    """The command with all its groups. Importing a group is cheap: what is heavy is imported when a command runs."""
    app = typer.Typer(
        name="tidemark",
        help="Event analytics: from an HTTP request to a published number that can be reproduced and explained.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,
    )
    for name in COMMAND_MODULES:
        importlib.import_module(name).register(app)
    return app


def main() -> None:
    """Entry point of the `tidemark` script. Exit 2 for settings that are not valid, whichever command reads them."""
    try:
        build_app()()
    except ValidationError as error:
        Console(stderr=True).print(describe_invalid(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
