"""The shape of the seeded social graph: who posts when with which hashtags, who answers whom, who engages with what.

Pure structure without texts: cheap enough to be drawn once only to be counted. Referential order: users first, then each post with its
comments, each after its parent, then the post's engagements. Memory holds one thread at a time.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

POPULAR_TAGS = ("ai", "python", "news", "sports", "travel")
POPULAR_WEIGHT = 5
_FIRST_TAGS = (
    "ai", "ml", "datascience", "python", "fastapi", "news", "sports", "travel", "sql", "kafka", "spark", "dbt", "music", "film",
    "books", "food", "coffee", "cycling", "running", "hiking", "photography", "design", "startups", "rust", "golang", "climate",
    "space", "history", "art", "gardening", "münchen", "日本",
)  # fmt: skip
KIND_WEIGHTS = {"like": 5, "bookmark": 1, "share": 1, "view": 10}
THREADS_RATIO = 0.6
LONGEST_THREAD = 12
MOST_ENGAGEMENTS = 10
_TOP_LEVEL_SHARE = 0.4
_ON_COMMENT_SHARE = 0.3
_JOINED_DAYS, _POSTED_DAYS = (90, 31), 30
_LONGEST_ANSWER_SECONDS = 7_200
_LONGEST_ENGAGEMENT_SECONDS = 86_400


@dataclass(frozen=True)
class GraphPlan:
    """How large the graph is. `repeats_ratio`: engagements followed by the same user, target and kind under a new event id."""

    users: int = 1000
    posts: int = 10_000
    hashtags: int = 150
    repeats_ratio: float = 0.02

    def __post_init__(self) -> None:
        if self.users < 1 or self.posts < 0 or self.hashtags < 4 or not 0 <= self.repeats_ratio <= 1:
            raise ValueError("a social graph has a user, four hashtags, and a share of repeats in 0..1")


@dataclass(frozen=True)
class User:
    """Users are numbered; `number` makes the id."""

    number: int
    at: datetime


@dataclass(frozen=True)
class Post:
    """A post by a user."""

    number: int
    author: int
    hashtags: list[str]
    at: datetime


@dataclass(frozen=True)
class Comment:
    """A comment, the `place`-th of its post; `parent` is the place of an earlier one, None at the top."""

    post: int
    place: int
    author: int
    parent: int | None
    upvotes: int
    at: datetime


@dataclass(frozen=True)
class Engagement:
    """`comment` is a place in the post's thread, None for the post itself."""

    post: int
    comment: int | None
    user: int
    kind: str
    at: datetime


Node = User | Post | Comment | Engagement


def tag_pool(size: int) -> list[str]:
    """The hashtags, the popular ones among the first."""
    return [*_FIRST_TAGS[:size], *(f"topic{number}" for number in range(len(_FIRST_TAGS), size))]


def draw_graph(plan: GraphPlan, random_: random.Random, as_of: datetime) -> Iterator[Node]:
    """All nodes; none is after `as_of`."""
    tags = tag_pool(plan.hashtags)
    weights = [POPULAR_WEIGHT if tag in POPULAR_TAGS else 1 for tag in tags]
    for number in range(plan.users):
        joined = random_.uniform(_JOINED_DAYS[1] * 86_400, _JOINED_DAYS[0] * 86_400)
        yield User(number, _before(as_of, joined))
    threads_left = round(plan.posts * THREADS_RATIO)
    step = _POSTED_DAYS * 86_400 / max(plan.posts, 1)
    for number in range(plan.posts):
        posted = (plan.posts - number - random_.random()) * step
        post = Post(number, random_.randrange(plan.users), _draw_tags(random_, tags, weights), _before(as_of, posted))
        yield post
        has_thread = random_.random() * (plan.posts - number) < threads_left
        threads_left -= has_thread
        comments = list(_draw_thread(plan, random_, post, as_of)) if has_thread else []
        yield from comments
        yield from _draw_engagements(plan, random_, post, comments, as_of)


def _draw_tags(random_: random.Random, tags: list[str], weights: list[int]) -> list[str]:
    """One to four different tags, heavier ones first more often."""
    wanted, found = random_.randint(1, 4), list[str]()
    while len(found) < wanted:
        tag = random_.choices(tags, weights)[0]
        if tag not in found:
            found.append(tag)
    return found


def _draw_thread(plan: GraphPlan, random_: random.Random, post: Post, as_of: datetime) -> Iterator[Comment]:
    times: list[datetime] = []
    for place in range(random_.randint(1, LONGEST_THREAD)):
        parent = None if not times or random_.random() < _TOP_LEVEL_SHARE else random_.randrange(len(times))
        after = post.at if parent is None else times[parent]
        times.append(_after(random_, after, _LONGEST_ANSWER_SECONDS, as_of))
        upvotes = random_.randrange(1 + random_.randrange(25))
        yield Comment(post.number, place, random_.randrange(plan.users), parent, upvotes, times[-1])


def _draw_engagements(
    plan: GraphPlan, random_: random.Random, post: Post, comments: list[Comment], as_of: datetime
) -> Iterator[Engagement]:
    kinds, weights = list(KIND_WEIGHTS), list(KIND_WEIGHTS.values())
    for _ in range(random_.randint(0, MOST_ENGAGEMENTS)):
        target = random_.choice(comments) if comments and random_.random() < _ON_COMMENT_SHARE else None
        at = _after(random_, target.at if target else post.at, _LONGEST_ENGAGEMENT_SECONDS, as_of)
        place = target.place if target else None
        engagement = Engagement(
            post.number, place, random_.randrange(plan.users), random_.choices(kinds, weights)[0], at
        )
        yield engagement
        if random_.random() < plan.repeats_ratio:
            again = _after(random_, at, _LONGEST_ENGAGEMENT_SECONDS, as_of)
            yield Engagement(post.number, place, engagement.user, engagement.kind, again)


def _before(as_of: datetime, seconds: float) -> datetime:
    return as_of - timedelta(seconds=round(seconds, 3))


def _after(random_: random.Random, moment: datetime, longest_seconds: int, as_of: datetime) -> datetime:
    """Some time later, but never after `as_of`."""
    return min(moment + timedelta(seconds=round(random_.uniform(1, longest_seconds), 3)), as_of)
