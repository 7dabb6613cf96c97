"""Finds that topics are named otherwise than when events were taken in or landed. Pure.

A topic that is named no longer may hold acknowledged events that have not landed; nothing would ever read them. A topic in another role
would have its events judged as something else. Both are refused, because no setting tells them from a wish to begin anew.
"""

from collections.abc import Iterable, Mapping

from ingestion.contracts.topics import LANDED_ROLES, TopicNames
from storage.settings import TOPIC_VARIABLES

NEW_HOME = (
    "or begin anew: another TIDEMARK_HOME for a local stack, elsewhere an empty bronze, lake, database and "
    "checkpoint folder"
)


def describe_changed_roles(before: Mapping[str, str], names: TopicNames) -> list[str]:
    """Roles whose topic was another one `before`."""
    return [
        f"{TOPIC_VARIABLES[role]} is {names.by_role[role]} and was {topic}: what {topic} still holds would not land as what it is; "
        f"set {TOPIC_VARIABLES[role]}={topic} again, {NEW_HOME}"
        for role, topic in sorted(before.items())
        if names.by_role.get(role, topic) != topic
    ]


def describe_unnamed(topics: Iterable[str], names: TopicNames) -> list[str]:
    """Topics that hold events and that no setting names: their roles are not known any more."""
    variables = ", ".join(TOPIC_VARIABLES[role] for role in LANDED_ROLES)
    return [
        f"events were taken in by topic {topic}, which no setting names: what it still holds would never land; "
        f"name it again (one of {variables}), {NEW_HOME}"
        for topic in sorted(set(topics) - set(names.landed))
    ]
