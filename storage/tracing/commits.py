"""Which commit of bronze a record came with: the Delta log says up to which offset each commit has landed."""

import duckdb

from ingestion.contracts.quarantine import Coordinates
from storage.bronze import parse_commit


class Commits:
    """The commits whose log files still exist; the log keeps a day. Reads a few of them, by bisection."""

    def __init__(self, session: duckdb.DuckDBPyConnection, bronze_uri: str, newest: int) -> None:
        self._session = session
        self._uri = bronze_uri.rstrip("/")
        rows = session.execute(
            "select parse_filename(file) from glob($pattern) where regexp_matches(parse_filename(file), '^[0-9]{20}[.]json$')",
            {"pattern": f"{self._uri}/_delta_log/*.json"},
        ).fetchall()
        self._versions = sorted(
            version for version in (int(name.removesuffix(".json")) for (name,) in rows) if version <= newest
        )
        self._known: dict[int, dict[str, dict[int, int]]] = {}

    def version_of(self, coordinates: Coordinates) -> tuple[int | None, bool]:
        """(version, True) of the commit that landed the record; (oldest kept version, False) when it landed with that or before."""
        low, high = 0, len(self._versions) - 1
        if not self._versions or not self._holds(high, coordinates):
            return None, False
        while low < high:
            middle = (low + high) // 2
            if self._holds(middle, coordinates):
                high = middle
            else:
                low = middle + 1
        version = self._versions[low]
        return version, low > 0 or version == 0

    def _holds(self, position: int, coordinates: Coordinates) -> bool:
        """Whether bronze held the record at a commit. A commit without offsets (a property, say) is as the one before it."""
        for at in range(position, -1, -1):
            offsets = self._offsets(self._versions[at])
            if offsets:
                return offsets.get(coordinates.topic, {}).get(coordinates.partition, -1) >= coordinates.offset
        return False

    def _offsets(self, version: int) -> dict[str, dict[int, int]]:
        if version not in self._known:
            name = f"{self._uri}/_delta_log/{version:020d}.json"
            row = self._session.execute("select content from read_text($name)", {"name": name}).fetchone()
            self._known[version] = parse_commit(self._uri, version, row[0]).offsets if row else {}
        return self._known[version]
