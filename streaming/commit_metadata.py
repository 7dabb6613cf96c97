"""The JSON beside every commit of bronze: which batch it was, its stamp, and how far bronze reaches. Pure values.

Written by streaming.writers and streaming.rewrite_transaction; read at start-up and by storage.bronze.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Offsets = dict[str, dict[int, int]]


@dataclass(frozen=True)
class CommitMetadata:
    """`offsets` is the highest landed offset per topic and partition over the whole table, not of this commit alone."""

    query: str
    batch_id: int
    ingested_at: datetime
    offsets: Offsets
    topic_ids: dict[str, str]

    def to_json(self) -> str:
        """One line, keys in a fixed order."""
        return json.dumps(
            {
                "query": self.query,
                "batch_id": self.batch_id,
                "ingested_at": format_instant(self.ingested_at),
                "offsets": {topic: {str(p): o for p, o in sorted(of.items())} for topic, of in self.offsets.items()},
                "topic_ids": self.topic_ids,
            },
            separators=(",", ":"),
        )


def parse_commit_metadata(text: str | None) -> CommitMetadata | None:
    """The metadata in `text`, or None when a foreign tool wrote the commit."""
    try:
        parsed = json.loads(text or "")
        return CommitMetadata(
            query=parsed["query"],
            batch_id=parsed["batch_id"],
            ingested_at=datetime.fromisoformat(parsed["ingested_at"]),
            offsets=parse_offsets(parsed["offsets"]),
            topic_ids=dict(parsed.get("topic_ids", {})),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def parse_offsets(topics: dict[str, dict[str, int]]) -> Offsets:
    """Offsets as JSON has them (partition numbers as text) with numbers for keys."""
    return {topic: {int(p): int(offset) for p, offset in of.items()} for topic, of in topics.items()}


def merge_landed(landed: Offsets, ends: Offsets) -> Offsets:
    """`landed` moved on to everything below `ends` (one past the last record). Partitions that hold nothing stay out."""
    merged = {topic: dict(of) for topic, of in landed.items()}
    for topic, of in ends.items():
        for partition, end in of.items():
            known = merged.setdefault(topic, {}).get(partition, -1)
            if end - 1 > known:
                merged[topic][partition] = end - 1
    return {topic: of for topic, of in merged.items() if of}


def next_stamp(now: datetime, last: datetime | None) -> datetime:
    """The stamp of the next commit: now, or just after the last one when the clock stands still or went back."""
    return now if last is None or now > last else last + timedelta(microseconds=1)


def format_instant(instant: datetime) -> str:
    """RFC 3339 in UTC with six digits, such as 2015-01-01T00:00:00.000000Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
