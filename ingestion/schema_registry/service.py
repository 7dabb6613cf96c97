"""What the registry does, without HTTP: registers, finds, compares, deletes.

Reads are answered from memory, at most a second old; what is not found there is looked for once more in the store, and while the store is
away the last state answers. Changes are decided on the newest state under the store's lock, so that two processes never disagree.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from ingestion.contracts.compatibility import Level
from ingestion.schema_registry.avro_schemas import canonical_text, fingerprint
from ingestion.schema_registry.compatibility import DEFAULT_LEVEL, faults
from ingestion.schema_registry.errors import RegistryError
from ingestion.schema_registry.errors import RegistryErrorCode as Code
from ingestion.schema_registry.store import RegistryStore, StoreUnavailableError
from ingestion.schema_registry.view import RegistryView
from storage.control.schema_registry import GLOBAL, Change, Decision, RegisteredSchema, RegistryState, Version

Found = TypeVar("Found")
_NEVER = -1e9


class SchemaRegistry:
    """The registry over a store. Methods may block and may be called from any thread. Raises: RegistryError."""

    def __init__(
        self, store: RegistryStore, *, trusted_seconds: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._trusted_seconds = trusted_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._state = RegistryState()
        self._read_at = _NEVER

    def look(self, question: Callable[[RegistryView], Found]) -> Found:
        """The answer to a question about the state; one that finds nothing in memory is asked once more of the store."""
        is_newest = self._refresh(self._trusted_seconds)
        try:
            return question(RegistryView(self._state))
        except RegistryError:
            if is_newest or not self._refresh(0):
                raise
            return question(RegistryView(self._state))

    def register(self, subject: str, text: str) -> Version:
        """The version of the subject that has this schema, a new one where there is none."""
        canonical = canonical_text(text)
        found: list[Version] = []

        def decide(state: RegistryState) -> Change:
            view = RegistryView(state)
            known = view.version_of(subject, canonical)
            if known is not None:
                found.append(known)
                return Change()
            level = view.level(subject)
            problems = faults(level, canonical, view.texts(subject))
            if problems:
                message = f'Schema being registered is incompatible with an earlier schema for subject "{subject}", details: {problems}'
                raise RegistryError(Code.INCOMPATIBLE, message)
            mark = fingerprint(canonical)
            same = next((item for item in state.schemas.values() if item.fingerprint == mark), None)
            schema = same or RegisteredSchema(max(state.schemas, default=0) + 1, canonical, mark)
            number = max((item.version for item in state.versions if item.subject == subject), default=0) + 1
            found.append(Version(subject, number, schema.schema_id))
            return Change(None if same else schema, (found[-1],))

        self._change(decide)
        return found[-1]

    def compare(self, subject: str, version: str | None, text: str) -> list[str]:
        """Why the schema does not fit the subject's version, or all that its level names; empty when it does."""
        canonical = canonical_text(text)

        def question(view: RegistryView) -> list[str]:
            level = view.level(subject)
            if version is None:
                return faults(level, canonical, view.texts(subject))
            if version in ("latest", "-1") and not view.versions(subject):
                return []
            return faults(level, canonical, [view.text(view.version(subject, version).schema_id)])

        return self.look(question)

    def delete_subject(self, subject: str, *, is_permanent: bool) -> list[int]:
        """The numbers that were deleted. Only what is hidden already can be deleted for good."""
        deleted: list[Version] = []

        def decide(state: RegistryState) -> Change:
            view = RegistryView(state)
            known = view.versions(subject, with_deleted=True)
            if not known:
                raise view.subject_not_found(subject)
            live = [item for item in known if not item.is_deleted]
            if is_permanent and live:
                raise _not_hidden(Code.SUBJECT_NOT_SOFT_DELETED, f"Subject '{subject}'")
            if not is_permanent and not live:
                raise _hidden(Code.SUBJECT_SOFT_DELETED, f"Subject '{subject}'")
            deleted[:] = known if is_permanent else live
            levels = {subject: None}
            return Change(removed=tuple(known), levels=levels) if is_permanent else _hiding(live)

        self._change(decide)
        return [item.version for item in deleted]

    def delete_version(self, subject: str, version: str, *, is_permanent: bool) -> int:
        """The number that was deleted."""
        deleted: list[int] = []

        def decide(state: RegistryState) -> Change:
            item = RegistryView(state).version(subject, version, with_deleted=True)
            number = item.version
            if is_permanent and not item.is_deleted:
                raise _not_hidden(Code.VERSION_NOT_SOFT_DELETED, f"Subject '{subject}' Version {number}")
            if not is_permanent and item.is_deleted:
                raise _hidden(Code.VERSION_SOFT_DELETED, f"Subject '{subject}' Version {number}")
            deleted.append(number)
            return Change(removed=(item,)) if is_permanent else _hiding([item])

        self._change(decide)
        return deleted[-1]

    def set_level(self, subject: str, level: str) -> Level:
        """The level that the subject, or all of them, has from now on."""
        try:
            wanted = Level(level.upper())
        except ValueError:
            message = f"Invalid compatibility level. Valid values are {', '.join(Level)}"
            raise RegistryError(Code.INVALID_LEVEL, message) from None
        self._change(lambda _: Change(levels={subject: wanted.value}))
        return wanted

    def forget_level(self, subject: str) -> Level:
        """The level that was set and is no more."""
        was: list[Level] = []

        def decide(state: RegistryState) -> Change:
            if subject != GLOBAL and subject not in state.levels:
                raise RegistryView(state).level_not_found(subject)
            was.append(Level(state.levels.get(subject, DEFAULT_LEVEL)))
            return Change(levels={subject: None})

        self._change(decide)
        return was[-1]

    def find_text(self, schema_id: int) -> str | None:
        """The text of an id, None when there is none. Raises: StoreUnavailableError when nobody can tell."""
        schema = self._state.schemas.get(schema_id)
        return self._store.find_text(schema_id) if schema is None else schema.text

    def _change(self, decide: Decision) -> None:
        try:
            state = self._store.change(decide)
        except StoreUnavailableError as error:
            raise RegistryError(Code.STORE_UNAVAILABLE, f"the registry's store does not answer: {error}") from error
        with self._lock:
            self._state, self._read_at = state, self._clock()

    def _refresh(self, max_age_seconds: float) -> bool:
        """True when the state was read from the store just now."""
        with self._lock:
            if self._clock() - self._read_at < max_age_seconds:
                return False
            try:
                self._state = self._store.read()
            except StoreUnavailableError as error:
                if self._read_at == _NEVER:
                    message = f"the registry's store does not answer: {error}"
                    raise RegistryError(Code.STORE_UNAVAILABLE, message) from error
                return False
            self._read_at = self._clock()
            return True


def _hiding(versions: list[Version]) -> Change:
    return Change(versions=tuple(replace(item, is_deleted=True) for item in versions))


def _hidden(code: Code, what: str) -> RegistryError:
    return RegistryError(code, f"{what} was soft deleted. Set permanent=true to delete permanently")


def _not_hidden(code: Code, what: str) -> RegistryError:
    return RegistryError(code, f"{what} was not deleted first before being permanently deleted")
