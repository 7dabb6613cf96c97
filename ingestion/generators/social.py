"""The seeded social graph (S3) as events: users, posts, comments and engagements come into being, ending at the anchor (`--as-of`).

All of it lies in the past: users joined 31 to 90 days before the anchor, posts are spread over the 30 days before it. Handles and texts
are Faker's, of a fixed locale. Event ids differ for every event; an engagement's natural key (user, target, kind) may come again under
another event id, and the story says how many remain when every key counts once, except views.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from faker import Faker

from ingestion.contracts.clocks import format_utc
from ingestion.contracts.families import Family
from ingestion.generators.malformed import SOCIAL_KINDS, Fields
from ingestion.generators.social_graph import Comment, Engagement, GraphPlan, Node, Post, User, draw_graph
from ingestion.generators.stream import Draft, SeededStream, StreamPlan, lines_for, make_event_id
from ingestion.generators.truth import Story

DEFAULT_SEED = 1337
_LOCALE = "en_US"
_LATE_AFTER = timedelta(minutes=10)


@dataclass(frozen=True)
class SocialStory(Story):
    """Unique events by what came into being. `counted_engagements`: views, and each (user, target, kind) of the others once."""

    users: int
    posts: int
    posts_with_comments: int
    comments: int
    engagements: int
    counted_engagements: int
    repeated_engagements: int
    engagements_by_kind: dict[str, int]
    counted_by_kind: dict[str, int]
    posts_by_hashtag: dict[str, int]


class SocialSource:
    """The graph's nodes as events."""

    family = Family.SOCIAL
    spoilers = SOCIAL_KINDS

    def __init__(self, plan: StreamPlan, graph: GraphPlan) -> None:
        if plan.late_ratio:
            raise ValueError("a social graph has no late share: all of it lies before the anchor")
        self._plan = plan
        self._nodes = _draw(plan, graph)
        self._faker = Faker(_LOCALE)
        self._faker.seed_instance(plan.seed)
        self._event_count = 0
        self._recorder = _StoryRecorder()
        self._node: Node | None = None

    def draft(self, index: int, makes_late: bool) -> Draft | None:  # noqa: ARG002 - a Source; the graph has its own times
        """See Source."""
        node = self._node = next(self._nodes, None)
        if node is None:
            return None
        event_id = make_event_id(self._plan, f"social:{self._event_count}")
        self._event_count += 1
        fields = {"event_id": event_id, "timestamp": format_utc(node.at), **self._own_fields(node)}
        actor = fields.get("user_id") or fields["author"]
        is_late = self._plan.anchor - node.at > _LATE_AFTER
        return Draft(fields, fields["event_type"], actor, node.at, is_late)

    def spare(self, index: int) -> Fields:
        """See Source."""
        return {
            "event_id": make_event_id(self._plan, f"social:spare:{index}"),
            "timestamp": format_utc(self._plan.anchor),
            "event_type": "user_created",
            "user_id": f"spare_{index}",
            "handle": f"spare_{index}",
        }

    def note(self, draft: Draft) -> None:  # noqa: ARG002 - a Source; the node says more than its draft
        """See Source."""
        if self._node is not None:
            self._recorder.note(self._node)

    def story(self) -> SocialStory:
        """See Source."""
        return self._recorder.result()

    def _own_fields(self, node: Node) -> Fields:
        match node:
            case User(number):
                handle = f"{self._faker.user_name()}_{number}"
                return {"event_type": "user_created", "user_id": _user_id(number), "handle": handle}
            case Post(number, author, hashtags):
                words = f"{self._faker.sentence()} {' '.join(f'#{tag}' for tag in hashtags)}"
                return {"event_type": "post_created", "post_id": _post_id(number), "author": _user_id(author),
                        "text": words, "hashtags": hashtags}  # fmt: skip
            case Comment(post, place, author, parent, upvotes):
                fields = {"event_type": "comment_created", "comment_id": _comment_id(post, place),
                          "post_id": _post_id(post), "author": _user_id(author)}  # fmt: skip
                if parent is not None:
                    fields["parent_id"] = _comment_id(post, parent)
                return fields | {"text": self._faker.sentence(), "upvotes": upvotes}
            case Engagement(post, comment, user, kind):
                target = ("post", _post_id(post)) if comment is None else ("comment", _comment_id(post, comment))
                return {"event_type": "engagement_created", "user_id": _user_id(user), "target_type": target[0],
                        "target_id": target[1], "kind": kind}  # fmt: skip


class _StoryRecorder:
    """Counts nodes. Engagements come post by post, so that the keys of one post are all that is remembered."""

    def __init__(self) -> None:
        self._nodes: Counter[type] = Counter()
        self._threads = 0
        self._tags: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()
        self._keys: set[tuple[int, int | None, str]] = set()

    def note(self, node: Node) -> None:
        self._nodes[type(node)] += 1
        match node:
            case Post():
                self._keys.clear()
                self._tags.update(node.hashtags)
            case Comment(place=0):
                self._threads += 1
            case Engagement():
                key = (node.user, node.comment, node.kind)
                self._kinds[node.kind] += 1
                self._counted[node.kind] += node.kind == "view" or key not in self._keys
                self._keys.add(key)
            case _:
                pass

    def result(self) -> SocialStory:
        engagements, counted = self._nodes[Engagement], self._counted.total()
        return SocialStory(
            users=self._nodes[User],
            posts=self._nodes[Post],
            posts_with_comments=self._threads,
            comments=self._nodes[Comment],
            engagements=engagements,
            counted_engagements=counted,
            repeated_engagements=engagements - counted,
            engagements_by_kind=dict(sorted(self._kinds.items())),
            counted_by_kind=dict(sorted(self._counted.items())),
            posts_by_hashtag=dict(sorted(self._tags.items())),
        )


class SocialStream(SeededStream):
    """Iterate once; `truth()` tells what was generated so far."""

    def __init__(self, plan: StreamPlan, graph: GraphPlan | None = None) -> None:
        super().__init__(plan, SocialSource(plan, graph or GraphPlan()))


def whole_plan(plan: StreamPlan, graph: GraphPlan) -> StreamPlan:
    """The plan with as many lines as the whole graph takes: its shape is drawn once to be counted."""
    count = sum(1 for _ in _draw(plan, graph))
    return replace(plan, events=lines_for(count, plan.duplicates_ratio, plan.malformed_ratio))


def _draw(plan: StreamPlan, graph: GraphPlan) -> Iterator[Node]:
    return draw_graph(graph, random.Random(plan.seed), plan.anchor)  # noqa: S311 - reproducible on purpose


def _user_id(number: int) -> str:
    return f"user_{number:05d}"


def _post_id(number: int) -> str:
    return f"post_{number:06d}"


def _comment_id(post: int, place: int) -> str:
    return f"comment_{post:06d}_{place:02d}"
