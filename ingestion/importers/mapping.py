"""The mapping file: which columns of a foreign file are an event's id, type, user, time and properties.

A few lines of TOML, for example:

    [columns]
    event_id = "id"              # without it the id is derived from the whole row
    event_type = "type"
    user_id = "actor.login"      # dots go down into nested objects
    timestamp = "created_at"

    [time]
    format = "rfc3339"           # epoch_seconds, epoch_milliseconds, epoch_microseconds, or a strptime pattern (UTC)

    [[rules]]                    # the first rule that names the row's type wins; one without `types` takes all others
    types = ["VIEW"]
    family = "engagement"
    rename = "view"
    fields = { content_id = "contentId" }
    metadata = { country = "userCountry" }
    constants = { platform = "web" }

    [[rules]]
    family = "generic"
    payload = "payload"          # one column that is an object, or a table name → column

Rows that are events already (NDJSON, each with an event_id) are taken as they are, whatever their family; a mapping of such rules
alone needs no columns:

    [[rules]]
    verbatim = true              # of the family that its fields name, or of `family` when that is given
"""

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingestion.contracts.families import Family
from ingestion.importers.errors import MappingError

FileFormat = Literal["ndjson", "csv"]
Model = TypeVar("Model", bound=BaseModel)
ColumnPath = Annotated[str, Field(min_length=1)]
_ENGAGEMENT_FIELDS = {"content_id", "platform", "session_id", "device_type", "location"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(_Part):
    """Where the envelope is found."""

    event_type: ColumnPath | None = None
    user_id: ColumnPath
    timestamp: ColumnPath
    event_id: ColumnPath | None = None


class TimeRule(_Part):
    """How the time is written."""

    format: str = "rfc3339"


class Rule(_Part):
    """What becomes of the rows of some types."""

    family: Family | None = None
    verbatim: bool = False
    types: tuple[str, ...] = ()
    rename: str | None = None
    fields: dict[str, ColumnPath] = {}
    metadata: dict[str, ColumnPath] = {}
    constants: dict[str, str] = {}
    payload: ColumnPath | dict[str, ColumnPath] | None = None

    @model_validator(mode="after")
    def _fits_its_family(self) -> "Rule":
        if self.verbatim:
            if self.rename or self.fields or self.metadata or self.constants or self.payload is not None:
                raise ValueError("a verbatim rule changes nothing: it has types and family only")
        elif self.family not in (Family.ENGAGEMENT, Family.GENERIC):
            raise ValueError("columns can become engagement or generic; events of other families come verbatim")
        elif self.family is Family.ENGAGEMENT:
            unknown = (set(self.fields) | set(self.constants)) - _ENGAGEMENT_FIELDS
            if unknown or self.payload is not None:
                raise ValueError(f"engagement knows no {sorted(unknown) or 'payload'}; use metadata, or family generic")
        elif self.fields or self.metadata:
            raise ValueError("a generic rule takes payload and constants; fields and metadata belong to engagement")
        return self


class ImportMapping(_Part):
    """A whole mapping file."""

    columns: Columns | None = None
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    time: TimeRule = TimeRule()
    format: FileFormat | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","

    @model_validator(mode="after")
    def _types_are_decided(self) -> "ImportMapping":
        if self.columns is None:
            if not all(rule.verbatim and not rule.types for rule in self.rules):
                raise ValueError("columns may be missing only where all rules are verbatim and without types")
        elif self.columns.event_type is None and (len(self.rules) > 1 or self.rules[0].rename is None):
            raise ValueError("without columns.event_type there must be one rule, and its rename is the type")
        return self

    @property
    def fingerprint(self) -> str:
        """Changes when the mapping means something else; comments and layout do not matter."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_mapping(path: Path) -> ImportMapping:
    """The mapping of a TOML file. Raises: MappingError."""
    return validated(ImportMapping, read_toml(path), path.name)


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says. Raises: MappingError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"{path.name}: {error}") from None


def validated(model: type[Model], document: dict[str, Any], name: str) -> Model:
    """The document as the model; what is wrong is named with its place. Raises: MappingError."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'mapping'}: {item['msg']}" for item in error.errors()
        )
        raise MappingError(f"{name}: {problems}") from None


def format_of(path: Path, mapping: ImportMapping) -> FileFormat:
    """The mapping's format, or the one that the file's name tells. Raises: MappingError."""
    if mapping.format is not None:
        return mapping.format
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if suffixes and suffixes[-1] in (".json", ".ndjson", ".jsonl"):
        return "ndjson"
    if suffixes and suffixes[-1] == ".csv":
        return "csv"
    raise MappingError(f'{path.name}: name the format in the mapping: format = "ndjson" or "csv"')
