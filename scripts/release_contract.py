"""`python -m scripts.release_contract NAME …`: freezes the shapes of contracts as their next revisions. Without names: of all.

Says what would break and changes nothing of a contract whose shape needs a new version instead.
"""

import sys
from pathlib import Path

from ingestion.contracts.formats import json_schema
from ingestion.contracts.registry import CONTRACTS
from ingestion.contracts.releases import (
    CHECKSUMS,
    FOLDER,
    BreakingChangeError,
    checksum_line,
    next_release,
    read_releases,
)


def main(names: list[str], folder: Path = FOLDER) -> int:
    """1 when a shape cannot be released, 2 for a name that there is not."""
    unknown = [name for name in names if name not in CONTRACTS]
    if unknown:
        sys.stderr.write(f"no such contract: {', '.join(unknown)}; there are {', '.join(CONTRACTS)}\n")
        return 2
    failed = 0
    for name in names or CONTRACTS:
        try:
            written = release(name, folder)
        except BreakingChangeError as error:
            sys.stderr.write(f"{error}\n")
            failed = 1
        else:
            sys.stdout.write(f"{name}: {written or 'as released'}\n")
    return failed


def release(name: str, folder: Path) -> str | None:
    """The name of the file that was written, None when the newest one says the same. Raises: BreakingChangeError."""
    found = next_release(name, json_schema.document(CONTRACTS[name]), read_releases(folder).get(name, []))
    if found is None:
        return None
    folder.mkdir(exist_ok=True)
    path = folder / found.file_name
    with path.open("x", encoding="utf-8") as file:
        file.write(json_schema.render(CONTRACTS[name]))
    # Appended, so that the lines of what was frozen before stay as they are.
    with (folder / CHECKSUMS).open("a", encoding="utf-8") as sums:
        sums.write(checksum_line(path))
    return found.file_name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
