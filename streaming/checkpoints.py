"""Where landing stands: Spark's checkpoint folders, read, and the state file beside them, read and written.

Layout under the checkpoint folder: `state.json`, `driver.lock`, and per generation (`tidemark recover` begins a new one)
`generation-<n>/<query>/` in Spark's own format. Offsets in Spark's files are ends: one past the last record.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from streaming.commit_metadata import Offsets, parse_offsets
from streaming.errors import ConfigurationError
from streaming.files import Files, is_local, resolve_uri


@dataclass(frozen=True)
class LandingState:
    """What Spark's checkpoints cannot say: which generation is in force, where it began, and which topics it read as what.

    `topic_roles` is empty in files of before it was kept.
    """

    generation: int = 0
    starting_offsets: Offsets = field(default_factory=dict)
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    topic_roles: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """As stored in state.json."""
        return json.dumps(
            {
                "generation": self.generation,
                "starting_offsets": {t: {str(p): o for p, o in of.items()} for t, of in self.starting_offsets.items()},
                "topic_ids": dict(self.topic_ids),
                "topic_roles": dict(self.topic_roles),
            },
            indent=2,
            sort_keys=True,
        )


@dataclass(frozen=True)
class QueryPlace:
    """How far one query's checkpoint is. `planned` runs ahead of `committed` by at most one batch."""

    query_id: str | None = None
    initial: Offsets = field(default_factory=dict)
    committed: Offsets = field(default_factory=dict)
    planned: Offsets = field(default_factory=dict)
    has_batches: bool = False


class Checkpoints:
    """Reads and writes below one checkpoint folder."""

    def __init__(self, files: Files, checkpoint_dir: str) -> None:
        self._files = files
        self.root = resolve_uri(checkpoint_dir)

    def read_state(self) -> LandingState | None:
        """The state file, or None when there is none. Raises ConfigurationError when it is damaged."""
        text = self._files.read_text(f"{self.root}/state.json")
        if text is None:
            return None
        try:
            parsed = json.loads(text)
            return LandingState(
                parsed["generation"],
                parse_offsets(parsed["starting_offsets"]),
                dict(parsed["topic_ids"]),
                dict(parsed.get("topic_roles", {})),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{self.root}/state.json cannot be read ({error}); restore it") from error

    def write_state(self, state: LandingState) -> None:
        """Replaces the state file."""
        self._files.make_folder(self.root)
        self._files.write_text(f"{self.root}/state.json", state.to_json())

    def remember_topics(
        self, state: LandingState, topic_ids: Mapping[str, str], topic_roles: Mapping[str, str]
    ) -> LandingState:
        """Remembers the ids and roles of topics seen for the first time."""
        merged = replace(
            state,
            topic_ids={**topic_ids, **state.topic_ids},
            topic_roles={**topic_roles, **state.topic_roles},
        )
        if merged == state:
            return state
        state = merged
        self.write_state(state)
        return state

    def next_generation(self) -> int:
        """A number that no folder has yet, so that a lost state file cannot revive an old checkpoint."""
        taken = [name.removeprefix("generation-") for name in self._files.list_names(self.root)]
        return max([int(number) for number in taken if number.isdigit()], default=0) + 1

    def location(self, generation: int, query: str) -> str:
        """The folder that Spark gets as checkpointLocation."""
        return f"{self.root}/generation-{generation}/{query}"

    def read_query_id(self, location: str) -> str | None:
        """The query's id, as long-lived as its checkpoint: the txnAppId of its commits."""
        text = self._files.read_text(f"{location}/metadata")
        return None if text is None else str(json.loads(text)["id"])

    def read_batch_ends(self, location: str, batch_id: int) -> Offsets:
        """Where batch `batch_id` ends, from Spark's write-ahead log of offsets: exact, and no second read of Kafka."""
        text = self._files.read_text(f"{location}/offsets/{batch_id}")
        if text is None:
            raise ConfigurationError(f"{location}/offsets/{batch_id} is missing; the checkpoint is damaged")
        return _parse_source_offsets(text)

    def read_place(self, location: str) -> QueryPlace:
        """How far the checkpoint at `location` is; all empty when there is none."""
        initial_text = self._files.read_text(f"{location}/sources/0/0")
        initial = {} if initial_text is None else _parse_source_offsets(initial_text)
        planned_ids = _numbers(self._files.list_names(f"{location}/offsets"))
        committed_ids = _numbers(self._files.list_names(f"{location}/commits"))
        return QueryPlace(
            query_id=self.read_query_id(location),
            initial=initial,
            committed=self.read_batch_ends(location, committed_ids[-1]) if committed_ids else initial,
            planned=self.read_batch_ends(location, planned_ids[-1]) if planned_ids else initial,
            has_batches=bool(planned_ids),
        )

    def read_batch_ids(self, location: str) -> tuple[int, int]:
        """The newest planned and the newest committed batch; -1 where there is none."""
        planned, committed = (_numbers(self._files.list_names(f"{location}/{log}")) for log in ("offsets", "commits"))
        return (planned[-1] if planned else -1, committed[-1] if committed else -1)

    def read_watermark(self, location: str, batch_id: int) -> datetime | None:
        """The watermark that batch `batch_id` works with; None before the first record. Spark drops nothing newer in it."""
        text = self._files.read_text(f"{location}/offsets/{batch_id}")
        if text is None:
            raise ConfigurationError(f"{location}/offsets/{batch_id} is missing; the checkpoint is damaged")
        milliseconds = int(json.loads(text.splitlines()[1])["batchWatermarkMs"])
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds) if milliseconds else None

    @property
    def has_locks(self) -> bool:
        """Whether lock_driver() keeps others out. An object store has no locks."""
        return is_local(self.root)

    def lock_driver(self) -> object | None:
        """The lock of the one driver, or None while another holds it. Always granted where there are no locks."""
        if not self.has_locks:
            return self
        self._files.make_folder(self.root)
        return self._files.try_lock(f"{self.root}/driver.lock")

    def unlock_driver(self, lock: object) -> None:
        """Gives up what lock_driver() gave. Idempotent."""
        if lock is not self:
            self._files.unlock(lock)


def _numbers(names: list[str]) -> list[int]:
    return sorted(int(name) for name in names if name.isdigit())


def _parse_source_offsets(text: str) -> Offsets:
    """The offsets of the only source: the last line of a log entry, `v1` and the batch's metadata before it.

    Spark's initial-offsets file has the version and the JSON on one line.
    """
    last = text.replace("\0", "").strip().splitlines()[-1]
    return parse_offsets(json.loads(last[last.index("{") :]))
