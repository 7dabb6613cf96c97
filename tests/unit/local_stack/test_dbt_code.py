"""What the fork server has dbt generate before it forks. In processes of their own: what is generated stays."""

import subprocess
import sys
from pathlib import Path

from local_stack.settings import PROJECT_ROOT

# Every function that mashumaro generates goes through `compile`; dbt's macros through `from_string`.
ASKED = """
import threading
from argparse import Namespace
from pathlib import Path
from local_stack.fork_server.dbt_code import generate_dbt_code, read_parsed
import dbt.task.build
project = Path({project!r})
if {is_warm}:
    generate_dbt_code(project)
    assert threading.active_count() == 1
from dbt.flags import set_from_args
from dbt_common.clients.jinja import template_cache
from mashumaro.core.meta.code.builder import CodeBuilder
generated = []
as_before = CodeBuilder.compile
CodeBuilder.compile = lambda self: (generated.append(self.cls), as_before(self))[1]
set_from_args(Namespace(), None)
manifest = read_parsed(project / "target" / "partial_parse.msgpack")
manifest.writable_manifest().to_dict(omit_none=False)
known = [macro.name for macro in manifest.macros.values() if macro.macro_sql in template_cache.file_cache]
print(len(generated), "materialization_table_duckdb" in known, "prepare_window" in known)
"""


def ask(*, is_warm: bool) -> list[str]:
    code = ASKED.format(project=str(PROJECT_ROOT / "dbt_project"), is_warm=is_warm)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_a_fork_generates_nothing_again() -> None:
    generated, *compiled = ask(is_warm=False)
    assert int(generated) > 100
    assert compiled == ["False", "False"]
    assert ask(is_warm=True) == ["0", "True", "True"]


def test_a_parse_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    parsed = tmp_path / "target" / "partial_parse.msgpack"
    code = f"from pathlib import Path; from local_stack.fork_server.dbt_code import generate_dbt_code as g; g(Path({str(tmp_path)!r}))"
    for content, said in ((b"of another release", "cannot be read"), (None, "")):
        parsed.write_bytes(content) if content is not None else parsed.unlink()
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert run.returncode == 0, run.stderr
        assert said in run.stderr
