"""The jars of Spark and of the broker, retrieved once by the Ivy that pyspark ships; no Maven, no build tool.

`ivy.xml` beside this file names them. They are kept in the cache under its hash, so a changed file retrieves again and an unchanged
one costs a directory listing. Run as a program, it retrieves and prints both folders.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local_stack.cache import cache_dir, exclusive
from local_stack.errors import RequirementError
from local_stack.java import find_java

IVY_FILE = Path(__file__).with_name("ivy.xml")
CONFIGURATIONS = ("spark", "broker")
LOG_TAIL_LINES = 15


@dataclass(frozen=True)
class Jars:
    """Absolute paths: what Spark needs beside its own jars, and the whole class path of the broker."""

    spark: list[Path]
    broker: list[Path]


def ensure_jars(report: Callable[[str], None] | None = None) -> Jars:
    """The jars, retrieved when the cache has none for this `ivy.xml`. Idempotent; safe from several processes at once.

    Raises: RequirementError when Java is missing or a jar cannot be retrieved.
    """
    ivy_bytes = IVY_FILE.read_bytes()
    folder = cache_dir() / "jars" / hashlib.sha256(ivy_bytes).hexdigest()[:16]
    if not folder.is_dir():
        with exclusive(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _retrieve(folder, report or (lambda _line: None))
    return Jars(**{name: sorted((folder / name).glob("*.jar")) for name in CONFIGURATIONS})


def spark_jars_folder() -> Path:
    """The jars that pyspark brings, found without importing it."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise RequirementError("pyspark is not installed; run `make setup`")
    return Path(spec.origin).parent / "jars"


def _retrieve(folder: Path, report: Callable[[str], None]) -> None:
    """Retrieves into a neighbour and renames it, so that a folder with the final name is always complete."""
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    argv = [find_java(), "-cp", f"{spark_jars_folder()}/*", "org.apache.ivy.Main", "-ivy", str(IVY_FILE)]
    argv += ["-cache", str(cache_dir() / "ivy"), "-confs", *CONFIGURATIONS, "-types", "jar", "bundle"]
    argv += ["-retrieve", f"{unfinished}/[conf]/[artifact]-[revision].[ext]"]
    lines: list[str] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if "downloading" in line:
                report(f"jar {sum('downloading' in seen for seen in lines)}: {_name_of(line)}")
    missing = [name for name in CONFIGURATIONS if not any((unfinished / name).glob("*.jar"))]
    if process.returncode or missing:
        tail = "\n".join(lines[-LOG_TAIL_LINES:])
        raise RequirementError(
            f"Ivy could not retrieve the jars of {IVY_FILE.name} (exit {process.returncode}); check that Maven Central or "
            f"your mirror of it is reachable, then run the command again. Its last lines:\n{tail}"
        )
    unfinished.rename(folder)


def _name_of(download_line: str) -> str:
    """File name in Ivy's line `downloading https://host/…/name.jar ...`, without the address."""
    return next((word.rsplit("/", 1)[-1] for word in download_line.split() if word.endswith(".jar")), "…")


def main() -> None:
    """Retrieves the jars and says where they are."""
    jars = ensure_jars(lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201 - a program's progress
    for paths in (jars.spark, jars.broker):
        sys.stdout.write(f"{len(paths)} jars in {paths[0].parent}\n")


if __name__ == "__main__":
    main()
