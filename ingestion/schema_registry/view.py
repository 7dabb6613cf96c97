"""Questions about a registry's state. Pure. Raises: RegistryError with the numbers that clients know."""

from ingestion.contracts.compatibility import Level
from ingestion.schema_registry.avro_schemas import fingerprint
from ingestion.schema_registry.compatibility import DEFAULT_LEVEL
from ingestion.schema_registry.errors import RegistryError
from ingestion.schema_registry.errors import RegistryErrorCode as Code
from storage.control.schema_registry import GLOBAL, RegistryState, Version

_MAX_VERSION = 2**31 - 1


class RegistryView:
    """One state, read."""

    def __init__(self, state: RegistryState) -> None:
        self._state = state

    def subjects(self, prefix: str = "", *, with_deleted: bool = False, only_deleted: bool = False) -> list[str]:
        """Names in order; a subject is deleted when all its versions are."""
        live = {item.subject for item in self._state.versions if not item.is_deleted}
        known = {item.subject for item in self._state.versions}
        chosen = known - live if only_deleted else known if with_deleted else live
        return sorted(name for name in chosen if name.startswith(prefix))

    def versions(self, subject: str, *, with_deleted: bool = False) -> list[Version]:
        """The subject's versions in order; empty where it has none."""
        return [
            item for item in self._state.versions if item.subject == subject and (with_deleted or not item.is_deleted)
        ]

    def known_versions(self, subject: str, *, with_deleted: bool = False) -> list[Version]:
        """As `versions`, of a subject that must have one."""
        found = self.versions(subject, with_deleted=with_deleted)
        if not found:
            raise self.subject_not_found(subject)
        return found

    def version(self, subject: str, version: str, *, with_deleted: bool = False) -> Version:
        """The version of that number, or the newest for `latest`."""
        number = _number(version)
        found = self.known_versions(subject, with_deleted=with_deleted)
        chosen = found[-1:] if number is None else [item for item in found if item.version == number]
        if not chosen:
            raise RegistryError(Code.VERSION_NOT_FOUND, f"Version {number} not found.")
        return chosen[0]

    def texts(self, subject: str) -> list[str]:
        """The schemas of the subject's versions, oldest first."""
        return [self.text(item.schema_id) for item in self.versions(subject)]

    def text(self, schema_id: int) -> str:
        """The schema of an id."""
        schema = self._state.schemas.get(schema_id)
        if schema is None:
            raise RegistryError(Code.SCHEMA_NOT_FOUND, f"Schema {schema_id} not found")
        return schema.text

    def version_of(self, subject: str, canonical: str, *, with_deleted: bool = False) -> Version | None:
        """The newest version of the subject that has this schema."""
        mark = fingerprint(canonical)
        of_mark = {item.schema_id for item in self._state.schemas.values() if item.fingerprint == mark}
        found = [item for item in self.versions(subject, with_deleted=with_deleted) if item.schema_id in of_mark]
        return found[-1] if found else None

    def find(self, subject: str, canonical: str, *, with_deleted: bool = False) -> Version:
        """As `version_of`, of a subject that must have it."""
        self.known_versions(subject, with_deleted=with_deleted)
        found = self.version_of(subject, canonical, with_deleted=with_deleted)
        if found is None:
            raise RegistryError(Code.SCHEMA_NOT_FOUND, "Schema not found")
        return found

    def uses(self, schema_id: int, *, with_deleted: bool = False) -> list[Version]:
        """The versions that have this schema."""
        self.text(schema_id)
        return [
            item
            for item in self._state.versions
            if item.schema_id == schema_id and (with_deleted or not item.is_deleted)
        ]

    def level(self, subject: str) -> Level:
        """The level that holds for the subject."""
        return Level(self._state.levels.get(subject) or self._state.levels.get(GLOBAL) or DEFAULT_LEVEL)

    def own_level(self, subject: str) -> Level:
        """The level that was set for the subject itself."""
        if subject not in self._state.levels:
            raise self.level_not_found(subject)
        return Level(self._state.levels[subject])

    def subject_not_found(self, subject: str) -> RegistryError:
        """The refusal."""
        return RegistryError(Code.SUBJECT_NOT_FOUND, f"Subject '{subject}' not found.")

    def level_not_found(self, subject: str) -> RegistryError:
        """The refusal."""
        message = f"Subject '{subject}' does not have subject-level compatibility configured"
        return RegistryError(Code.LEVEL_NOT_FOUND, message)


def _number(version: str) -> int | None:
    """The number, None for the newest."""
    if version in ("latest", "-1"):
        return None
    number = int(version) if version.isascii() and version.isdigit() and len(version) <= 10 else 0
    if not 1 <= number <= _MAX_VERSION:
        allowed = 'Allowed values are between [1, 2^31-1] and the string "latest"'
        message = f"The specified version '{version[:40]}' is not a valid version id. {allowed}"
        raise RegistryError(Code.INVALID_VERSION, message)
    return number
