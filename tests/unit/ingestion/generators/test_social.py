"""The social graph: the shape of the reference's seed, referential order, and natural duplicates that the story counts."""

import json
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from ingestion.generators import StreamPlan
from ingestion.generators.social import DEFAULT_SEED, SocialStory, SocialStream, whole_plan
from ingestion.generators.social_graph import POPULAR_TAGS, GraphPlan, tag_pool
from tests.unit.ingestion.generators.families import ANCHOR

GRAPH = GraphPlan(users=100, posts=700, hashtags=150, repeats_ratio=0.05)


def read(graph: GraphPlan = GRAPH, **shares: float) -> tuple[list[dict[str, Any]], SocialStory]:
    stream = SocialStream(whole_plan(StreamPlan(0, ANCHOR, DEFAULT_SEED, **shares), graph), graph)
    events = [json.loads(line.raw) for line in stream if line.kind == "event"]
    story = stream.truth().story
    assert isinstance(story, SocialStory)
    return events, story


@pytest.fixture(scope="module")
def graph() -> tuple[list[dict[str, Any]], SocialStory]:
    return read()


Graph = tuple[list[dict[str, Any]], SocialStory]


@pytest.mark.feature("S3-2")
def test_sizes_are_those_asked_for(graph: Graph) -> None:
    events, story = graph
    types = Counter(event["event_type"] for event in events)
    assert (types["user_created"], types["post_created"]) == (100, 700) == (story.users, story.posts)
    assert (types["comment_created"], types["engagement_created"]) == (story.comments, story.engagements)
    assert len({event["handle"] for event in events if event["event_type"] == "user_created"}) == 100
    assert len({event["event_id"] for event in events}) == len(events)


@pytest.mark.feature("S3-2")
def test_everything_refers_to_what_came_before_it_and_is_not_older(graph: Graph) -> None:
    born: dict[str, datetime] = {}
    for event in graph[0]:
        at = datetime.fromisoformat(event["timestamp"])
        assert at <= ANCHOR
        names = ("author", "user_id", "post_id", "parent_id", "target_id")
        own = {"user_created": "user_id", "post_created": "post_id", "comment_created": "comment_id"}.get(
            event["event_type"]
        )
        for name in names:
            if name in event and name != own:
                assert born[event[name]] <= at, event
        if own is not None:
            assert event[own] not in born
            born[event[own]] = at


@pytest.mark.feature("S3-2")
def test_hashtags_threads_and_kinds_have_the_shares_of_the_reference(graph: Graph) -> None:
    """Exactly 60 % threads. Popular tags 5 : 1 within a quarter, kinds 5 : 1 : 1 : 10 within 0.04 of all engagements."""
    events, story = graph
    assert tag_pool(150)[:5] == ["ai", "ml", "datascience", "python", "fastapi"]
    assert len(set(tag_pool(150))) == 150
    assert story.posts_with_comments == 420
    posts = [event for event in events if event["event_type"] == "post_created"]
    assert {len(post["hashtags"]) for post in posts} == {1, 2, 3, 4}
    assert all(len(set(post["hashtags"])) == len(post["hashtags"]) for post in posts)
    uses = Counter(tag for post in posts for tag in post["hashtags"])
    assert story.posts_by_hashtag == dict(sorted(uses.items()))
    popular = sum(uses[tag] for tag in POPULAR_TAGS) / 5
    others = sum(count for tag, count in uses.items() if tag not in POPULAR_TAGS) / 145
    assert popular / others == pytest.approx(5, rel=0.25)
    for kind, share in {"like": 5 / 17, "bookmark": 1 / 17, "share": 1 / 17, "view": 10 / 17}.items():
        assert story.engagements_by_kind[kind] / story.engagements == pytest.approx(share, abs=0.04)


def test_replies_nest(graph: Graph) -> None:
    depth: dict[str, int] = {}
    for event in graph[0]:
        if event["event_type"] == "comment_created":
            depth[event["comment_id"]] = depth.get(event.get("parent_id", ""), 0) + 1
    assert max(depth.values()) >= 4


def test_natural_duplicates_have_new_ids_and_count_once_except_views(graph: Graph) -> None:
    events, story = graph
    engagements = [event for event in events if event["event_type"] == "engagement_created"]
    keys = [(event["user_id"], event["target_type"], event["target_id"], event["kind"]) for event in engagements]
    counted = Counter(key[3] for key in set(keys) if key[3] != "view")
    counted["view"] = sum(key[3] == "view" for key in keys)
    assert story.counted_by_kind == dict(sorted(counted.items()))
    assert story.counted_engagements == counted.total()
    assert story.repeated_engagements == len(keys) - counted.total() > 30


def test_copies_and_malformed_lines_do_not_change_the_graph(graph: Graph) -> None:
    small = GraphPlan(users=20, posts=100)
    assert read(small, duplicates_ratio=0.2, malformed_ratio=0.1) == read(small)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="late"):
        SocialStream(StreamPlan(1, ANCHOR, late_ratio=0.1))
    with pytest.raises(ValueError, match="hashtags"):
        GraphPlan(hashtags=3)
