"""Makes the virtual environment from the lock, and says in one line what this machine lacks for it. Standard library only.

`python3 scripts/bootstrap.py` is what `make setup` runs: checks Python, Java and disk; then .venv, the locked packages, the project
itself, the jars and the class archive. Done work is not repeated: a stamp in .venv holds the hash of what it was made from.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "tidemark-stamp"
ARCHIVE_STAMP = VENV / "tidemark-archive-stamp"
LOCK = ROOT / "requirements.lock"
UV_VERSION = "0.13.8"
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
OLDEST_JAVA = 17
NEEDED_DISK_GIB = 5


def main() -> int:
    """0 when everything is set up; 1 with one line per missing thing."""
    parser = argparse.ArgumentParser(description="Sets up .venv and the jars.")
    parser.add_argument("--check", action="store_true", help="only check this machine")
    parser.add_argument(
        "--no-class-archive", action="store_true", help="leave to another time what only makes Spark start sooner"
    )
    arguments = parser.parse_args()
    use_suitable_python()
    problems = [problem for problem in (check_python(), check_java(), check_disk()) if problem]
    for problem in problems:
        say(f"cannot set up: {problem}")
    if problems:
        return 1
    if not arguments.check:
        install()
        if not arguments.no_class_archive:
            write_class_archive()
    return 0


def say(text: str) -> None:
    """One line of progress on stderr."""
    sys.stderr.write(f"[setup] {text}\n")
    sys.stderr.flush()


def use_suitable_python() -> None:
    """Starts again with a Python of the right age when this one is not and there is one on PATH."""
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return
    for minor in range(NEWEST_PYTHON[1], OLDEST_PYTHON[1] - 1, -1):
        other = shutil.which(f"python3.{minor}")
        # A version manager's stand-in exists for versions that are not there.
        if other and subprocess.run([other, "-c", ""], capture_output=True, check=False).returncode == 0:
            os.execv(other, [other, *sys.argv])  # noqa: S606 - no shell is the point


def check_python() -> "str | None":
    """None, or what is wrong with it and what to do."""
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return None
    found = ".".join(str(part) for part in sys.version_info[:3])
    return f"Python {found} found, 3.11 to 3.13 needed; install one of them, or name it: make setup PYTHON=/path/to/python3.12"


def check_java() -> "str | None":
    """None, or what is wrong with it and what to do."""
    remedy = f"install a JDK or JRE {OLDEST_JAVA} or newer, or point JAVA_HOME at one"
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    java = java or shutil.which("java")
    if java is None:
        return f"no Java found (JAVA_HOME and PATH); {remedy}"
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    if match is None:
        return f"`{java} -version` named no version; {remedy}"
    if int(match.group(1)) < OLDEST_JAVA:
        return f"Java {match.group(1)} found, {OLDEST_JAVA} or newer needed; {remedy}"
    return None


def check_disk() -> "str | None":
    """None, or what is wrong with it and what to do."""
    free_gib = shutil.disk_usage(str(ROOT)).free / 1024**3
    if free_gib >= NEEDED_DISK_GIB or is_current():
        return None
    return f"{free_gib:.1f} GiB of disk free in {ROOT}, {NEEDED_DISK_GIB} needed; free some space"


def expected_stamp() -> str:
    """Hash of everything the virtual environment is made from."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} uv {UV_VERSION} {ROOT} compiled".encode())
    for path in (LOCK, ROOT / "pyproject.toml", ROOT / "local_stack" / "ivy.xml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current() -> bool:
    """True when .venv was made from the files as they are."""
    return STAMP.exists() and STAMP.read_text() == expected_stamp()


def install() -> None:
    """The virtual environment with every locked package, the project and the jars. Nothing to do when it is current."""
    if is_current():
        return
    started = time.monotonic()
    stamp = expected_stamp()  # of the files as they are read below: one that changes meanwhile is set up the next time
    STAMP.unlink(missing_ok=True)
    python = VENV / "bin" / "python"
    if not python.exists() or venv_version(python) != sys.version_info[:2]:
        say("making .venv")
        shutil.rmtree(VENV, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(VENV)])
    uv = VENV / "bin" / "uv"
    if (
        not uv.exists()
        or UV_VERSION not in subprocess.run([uv, "--version"], capture_output=True, text=True, check=False).stdout
    ):
        say(f"installing uv {UV_VERSION}")
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"uv=={UV_VERSION}"])
    packages = sum(line[:1].isalnum() for line in LOCK.read_text().splitlines())
    say(f"installing {packages} locked packages; pyspark is built here and takes longest")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as first:
        # pyspark has no wheel: its build requirement comes from the lock too, and before it.
        first.write(lines_of("setuptools"))
        first.flush()
        uv_install(uv, "--require-hashes", "-r", first.name)
    uv_install(uv, "--require-hashes", "--no-build-isolation-package", "pyspark", "-r", str(LOCK))
    uv_install(uv, "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    say("retrieving the jars of Spark and Kafka (kept for other checkouts), compiling Python meanwhile")
    with compile_bytecode(python):
        run([str(python), "-m", "local_stack.jars"])
    STAMP.write_text(stamp)
    say(f"done in {time.monotonic() - started:.0f} s")


def write_class_archive() -> None:
    """The class archive of Spark's drivers, once for an environment. Where it cannot be written that is told and left: nothing needs it."""
    if ARCHIVE_STAMP.exists() and ARCHIVE_STAMP.read_text() == expected_stamp():
        return
    say("writing an archive of Spark's classes, which halves the start of its drivers; takes a minute")
    argv = [str(VENV / "bin" / "python"), "-m", "local_stack.class_archive"]
    subprocess.run(argv, cwd=str(ROOT), stdout=sys.stderr, check=False)
    ARCHIVE_STAMP.write_text(expected_stamp())


def compile_bytecode(python: Path) -> "subprocess.Popen[bytes]":
    """Starts compiling everything that is imported. Where PYTHONDONTWRITEBYTECODE is set, each process would do it anew: a run of
    Dagster and its dbt took 15 s of processor time to import without, 8 s with. What cannot be compiled is never imported either.
    """
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    libraries = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    folders = [libraries, *sorted(str(path.parent) for path in ROOT.glob("*/__init__.py"))]
    argv = [str(python), "-m", "compileall", "-q", "-q", "-j", "0", "-x", r"site-packages/(pip|.*/tests)/", *folders]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL)


def lines_of(package: str) -> str:
    """The lock's lines of one package, hashes included."""
    match = re.search(rf"^{package}==.*?(?=^\S)", LOCK.read_text() + "\nend", re.MULTILINE | re.DOTALL)
    if match is None:
        raise SystemExit(f"{LOCK.name} does not name {package}; run `make lock`")
    return match.group(0)


def venv_version(python: Path) -> "tuple[int, ...]":
    """(major, minor) of the environment's Python, empty when it does not run."""
    code = "import sys; print(*sys.version_info[:2])"
    answer = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return tuple(int(part) for part in answer.stdout.split())


def uv_install(uv: Path, *arguments: str) -> None:
    """`uv pip install` into .venv, with pip's own settings where uv has none: a mirror or a certificate is set once."""
    environ = dict(os.environ, VIRTUAL_ENV=str(VENV))
    for of_uv, of_pip in (
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
        ("UV_INDEX", "PIP_EXTRA_INDEX_URL"),
        ("SSL_CERT_FILE", "PIP_CERT"),
    ):
        if of_pip in environ:
            environ.setdefault(of_uv, environ[of_pip])
    run([str(uv), "pip", "install", *arguments], environ)


def run(argv: "list[str]", environ: "dict[str, str] | None" = None) -> None:
    """Runs it with its output shown; ends the set-up when it fails."""
    answer = subprocess.run(argv, env=environ, cwd=str(ROOT), stdout=sys.stderr, check=False)
    if answer.returncode:
        say(f"failed (exit {answer.returncode}): {' '.join(argv[:6])} …; run `make setup` again when the cause is gone")
        raise SystemExit(1)


if __name__ == "__main__":
    sys.exit(main())
