"""What dbt generates anew in every process, generated once before the forks: serialisers, JSON schemas, compiled macros. Starts no thread.

A tenth of a small build's processor time (decision 40). Nothing of it is data: dbt keeps it by class and by a macro's text, and every
build still reads the project as it is then. What is missing here a build generates itself.
"""

import inspect
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbt.contracts.graph.manifest import Manifest
    from dbt.contracts.graph.nodes import Macro

# Where those of dbt's own macros are that a build of tables, views and tests calls. With all 550 the start would take half a second more.
_CALLED = (
    "macros/adapters/",
    "macros/etc/",
    "macros/materializations/configs.sql",
    "macros/materializations/hooks.sql",
    "macros/materializations/models/view.sql",
    "macros/materializations/tests/",
    "macros/relations/",
)


def generate_dbt_code(project_dir: Path) -> None:
    """Does nothing for a project that was never parsed, or by another release of dbt: a build parses that one anew."""
    from dbt.flags import set_from_args

    parsed = project_dir / "target" / "partial_parse.msgpack"
    if not parsed.exists():
        return
    set_from_args(Namespace(), None)  # every command sets its own
    try:
        manifest = read_parsed(parsed)
    except Exception as error:  # noqa: BLE001 - as dbt itself does: whatever is wrong with it, the next build parses again
        sys.stderr.write(
            f"fork server: {parsed} cannot be read, builds start slower: {type(error).__name__}: {error}\n"
        )
        return
    manifest.writable_manifest().to_dict(omit_none=False)
    _make_schemas()
    _compile_macros(manifest.macros.values())
    # dbt looks for a flag's caller: Python looks through all modules for it, and remembers.
    inspect.stack()


def read_parsed(file: Path) -> "Manifest":
    """The manifest that an earlier parse left, by dbt's own reader."""
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    return Manifest.from_msgpack(file.read_bytes(), decoder=extended_mashumuro_decoder)


def _make_schemas() -> None:
    from dbt.contracts.graph.nodes import HookNode
    from dbt.contracts.project import Configuration, PackageConfig, ProfileConfig, Project, ProjectFlags

    for checked in (Project, ProjectFlags, ProfileConfig, PackageConfig, Configuration, HookNode):
        checked.json_schema()


def _compile_macros(macros: "Iterable[Macro]") -> None:
    from dbt_common.clients.jinja import template_cache

    for macro in macros:
        if macro.package_name != "dbt" or macro.original_file_path.startswith(_CALLED):
            template_cache.get_node_template(macro)
