"""Finds the Java that runs Spark, the broker and the jar resolver. Knows nothing of what is run with it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from local_stack.errors import RequirementError

OLDEST_JAVA = 17
REMEDY = f"install a JDK or JRE {OLDEST_JAVA} or newer, or point JAVA_HOME at one"


def find_java() -> str:
    """Path of the `java` to run: the one of JAVA_HOME, else the first on PATH.

    Raises: RequirementError when there is none.
    """
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return str(Path(home) / "bin" / "java")
    found = shutil.which("java")
    if found is None:
        raise RequirementError(f"no Java found (JAVA_HOME and PATH); {REMEDY}")
    return found


def parse_major_version(text: str) -> int | None:
    """17 for `openjdk version "17.0.15"`, 8 for `"1.8.0_402"`, None when there is no version in the text."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else None


def read_java_version() -> int:
    """Major version of the Java found.

    Raises: RequirementError when there is none or it does not say its version.
    """
    answer = subprocess.run([find_java(), "-version"], capture_output=True, text=True, check=False, timeout=60)
    version = parse_major_version(answer.stderr + answer.stdout)
    if version is None:
        raise RequirementError(f"`java -version` named no version; {REMEDY}")
    return version
