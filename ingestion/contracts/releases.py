"""Released shapes of the contracts: frozen texts that what the code says is held against.

A file `released/engagement-1-r2.schema.json` is revision 2 of version 1, and is never written again (SHA256SUMS tells when somebody did).
A revision may only add to a version what every other revision can live with: FULL_TRANSITIVE, because records of all of them carry the
same name. Everything else is a new version. This is the only module of the contracts that reads files: the package's own.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion.contracts.compatibility import Difference, Level, broken_by

FOLDER = Path(__file__).with_name("released")
CHECKSUMS = "SHA256SUMS"
_FILE_NAME = re.compile(r"([a-z]+)-([0-9]+)-r([0-9]+)\.schema\.json")
# What only explains: it may be put better at any time.
_EXPLANATIONS = frozenset({"title", "description", "examples", "$comment"})


class BreakingChangeError(ValueError):
    """The shape cannot be another revision of its version."""

    def __init__(self, contract: str, broken: Sequence[Difference]) -> None:
        details = "; ".join(f"{item.path} {item.message} ({item.rule}, breaks {item.breaks})" for item in broken)
        super().__init__(f"{contract} would break what was released: {details}. Give the shape a new version")
        self.differences = tuple(broken)


@dataclass(frozen=True)
class Release:
    """One frozen shape."""

    contract: str
    revision: int
    schema: Mapping[str, Any]

    @property
    def file_name(self) -> str:
        """Where it is kept."""
        return f"{self.contract.replace('/', '-')}-r{self.revision}.schema.json"


def read_releases(folder: Path = FOLDER) -> dict[str, list[Release]]:
    """Contract name → its revisions, oldest first."""
    found: dict[str, list[Release]] = {}
    for path in folder.glob("*.schema.json"):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name}: expected FAMILY-VERSION-rREVISION.schema.json")
        family, version, revision = match.groups()
        release = Release(f"{family}/{version}", int(revision), json.loads(path.read_text(encoding="utf-8")))
        found.setdefault(release.contract, []).append(release)
    return {name: sorted(items, key=lambda item: item.revision) for name, items in sorted(found.items())}


def next_release(contract: str, schema: Mapping[str, Any], revisions: Sequence[Release]) -> Release | None:
    """The release that must be written for this shape, None when the newest one says the same.

    Raises: BreakingChangeError when another revision could not live with it, UnsupportedSchemaError.
    """
    if revisions and essence(schema) == essence(revisions[-1].schema):
        return None
    broken = broken_by(Level.FULL_TRANSITIVE, schema, [item.schema for item in revisions])
    flat = [difference for of_one in broken for difference in of_one]
    if flat:
        raise BreakingChangeError(contract, list(dict.fromkeys(flat)))
    return Release(contract, revisions[-1].revision + 1 if revisions else 1, schema)


def essence(schema: Any) -> Any:
    """The schema without what only explains it."""
    return _essence(schema, is_names=False)


def _essence(value: Any, *, is_names: bool) -> Any:
    if isinstance(value, Mapping):
        kept = {name: item for name, item in value.items() if is_names or name not in _EXPLANATIONS}
        # Below `properties` and `$defs` stand names, which may be called anything.
        return {
            name: _essence(item, is_names=not is_names and name in ("properties", "$defs"))
            for name, item in kept.items()
        }
    if isinstance(value, list):
        return [_essence(item, is_names=False) for item in value]
    return value


def checksum_line(path: Path) -> str:
    """The file's line in SHA256SUMS, as `sha256sum -c` reads it."""
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
