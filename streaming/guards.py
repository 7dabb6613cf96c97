"""Decides whether landing may start: compares what Kafka, the checkpoint and bronze say. Pure; no I/O.

Every refusal names what was found, what was expected and what to do. All are collected and raised together.
"""

from collections.abc import Iterable, Mapping

from ingestion.contracts.topics import TopicNames
from storage.topic_changes import NEW_HOME, describe_changed_roles, describe_unnamed
from streaming.checkpoints import LandingState, QueryPlace
from streaming.commit_metadata import CommitMetadata, Offsets
from streaming.errors import StartRefusedError

RECOVER = "`tidemark recover land-bronze` starts a new checkpoint exactly behind what bronze holds"


def check_names(state: LandingState, known: Iterable[str], names: TopicNames) -> list[str]:
    """Topics that were read under another role than now, or are read no longer: Spark would end the query on every start, at best."""
    changed = describe_changed_roles(state.topic_roles, names)
    return changed or describe_unnamed(known, names)


def check_topics(known: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Topics that are not the ones landed before: their offsets count other records."""
    return [
        f"topic {topic} was recreated (id {found[topic]}, landed before as {known[topic]}); its offsets would collide with "
        f"those in bronze: bring the old topic back, {NEW_HOME}"
        for topic in sorted(found)
        if topic in known and known[topic] != found[topic]
    ]


def check_broker_holds(landed: Offsets, ends: Offsets) -> list[str]:
    """Partitions in which Kafka holds less than bronze already has."""
    return [
        f"{topic}/{partition}: bronze holds offset {offset}, Kafka ends before {ends.get(topic, {}).get(partition, 0)}; "
        "this is not the broker (or not the topic) that bronze was landed from"
        for topic, of in sorted(landed.items())
        for partition, offset in sorted(of.items())
        if topic in ends and ends[topic].get(partition, 0) <= offset
    ]


def check_query(
    name: str, topics: tuple[str, ...], place: QueryPlace, state: LandingState, landed: Offsets
) -> list[str]:
    """Whether the checkpoint of a query goes on exactly where bronze ends, for every partition of its topics."""
    initial = place.initial or {t: of for t, of in state.starting_offsets.items() if t in topics}
    committed = place.committed or initial
    planned = place.planned or initial
    problems = []
    for topic in topics:
        partitions = {*landed.get(topic, {}), *committed.get(topic, {}), *planned.get(topic, {})}
        for partition in sorted(partitions):
            begin = initial.get(topic, {}).get(partition, 0)
            next_offset = landed.get(topic, {}).get(partition, begin - 1) + 1
            allowed = {ends.get(topic, {}).get(partition, begin) for ends in (committed, planned)}
            if next_offset not in allowed:
                problems.append(
                    f"{topic}/{partition}: bronze goes on at {next_offset}, "
                    f"the checkpoint at {' or '.join(map(str, sorted(allowed)))}"
                )
    if not problems:
        return []
    nothing = place.query_id is None and not place.has_batches
    what = "has no checkpoint, but bronze holds its records" if nothing else "has a checkpoint that does not fit bronze"
    return [f"query {name} {what} ({'; '.join(problems[:4])}): {RECOVER}"]


def known_topic_ids(state: LandingState | None, newest: CommitMetadata | None) -> dict[str, str]:
    """Ids of the topics landed so far, by bronze's newest commit and by the state file; the state file wins."""
    return {**(newest.topic_ids if newest else {}), **(state.topic_ids if state else {})}


def refuse(problems: list[str], who: str = "landing") -> None:
    """Raises StartRefusedError when there is any problem."""
    if problems:
        raise StartRefusedError(f"{who} refuses to start: " + " | ".join(problems))
