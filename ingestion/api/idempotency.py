"""Event ids for requests with an `Idempotency-Key`.

The same app and key give the same id, on every replica and after every restart. That one key was used with two ids is noticed by
the process that saw both, among its last uses: it is a courtesy to clients, deduplication does not rest on it.
"""

from collections import OrderedDict
from uuid import NAMESPACE_URL, uuid5

from ingestion.api.errors import ErrorCode, RequestError

MAX_KEY_LENGTH = 255
_REMEMBERED_KEYS = 100_000


def event_id_for(app_id: str, key: str) -> str:
    """uuid5 of the key in the app's own namespace."""
    return str(uuid5(uuid5(NAMESPACE_URL, f"tidemark:app:{app_id}"), key))


class IdempotencyKeys:
    """The last keys used and their event ids."""

    def __init__(self) -> None:
        self._used: OrderedDict[tuple[str, str], str] = OrderedDict()

    def resolve(self, app_id: str, key: str, event_id: str | None) -> str:
        """The event's id. Raises: RequestError when the key was used with another id."""
        if not 1 <= len(key) <= MAX_KEY_LENGTH:
            raise RequestError(ErrorCode.INVALID_HEADER, f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters")
        used = self._used.get((app_id, key))
        if event_id is not None and used is not None and used != event_id:
            raise RequestError(ErrorCode.IDEMPOTENCY_CONFLICT, "this Idempotency-Key was used with another event_id")
        return event_id or used or event_id_for(app_id, key)

    def remember(self, app_id: str, key: str, event_id: str) -> None:
        """Notes a key after its event was acknowledged."""
        self._used[app_id, key] = event_id
        self._used.move_to_end((app_id, key))
        while len(self._used) > _REMEMBERED_KEYS:
            self._used.popitem(last=False)
