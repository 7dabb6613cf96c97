"""The social contract (S3): users, posts, comments and engagements come into being.

Four shapes, told apart by `event_type`. Whoever acts is the event's user: `user_id`, or `author` of a post or comment.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ingestion.contracts.clocks import parse_timestamp
from ingestion.contracts.fields import PERSONAL, EventId, Key, Timestamp, UserId

CONTRACT = "social/1"

Text = Annotated[str, Meta(max_length=10_000, description="What was written.", extra_json_schema=PERSONAL)]
PostId = Annotated[Key, Meta(description="Id of the post.")]
CommentId = Annotated[Key, Meta(description="Id of the comment.")]
Hashtag = Annotated[str, Meta(min_length=1, max_length=100)]
Hashtags = Annotated[
    list[Hashtag], Meta(min_length=1, max_length=4, description="1 to 4 words that it is filed under.")
]


class _SocialEvent(msgspec.Struct, tag_field="event_type", gc=False):
    event_id: EventId
    timestamp: Timestamp

    @property
    def event_type(self) -> str:
        """One of the four types."""
        return str(self.__struct_config__.tag)

    def occurred_at(self) -> str | None:
        """Canonical text. Raises: TimestampError."""
        return parse_timestamp(self.timestamp)


class UserCreated(_SocialEvent, tag="user_created"):
    """Somebody joined."""

    user_id: UserId
    handle: Annotated[
        str, Meta(min_length=1, max_length=100, description="The name that others see.", extra_json_schema=PERSONAL)
    ]


class PostCreated(_SocialEvent, tag="post_created"):
    """Somebody wrote a post."""

    post_id: PostId
    author: UserId
    text: Text
    hashtags: Hashtags

    @property
    def user_id(self) -> str:
        """The author. A field of that name means nothing here."""
        return self.author


class CommentCreated(_SocialEvent, tag="comment_created"):
    """Somebody commented on a post, or replied to the comment `parent_id`."""

    comment_id: CommentId
    post_id: PostId
    author: UserId
    parent_id: Annotated[Key, Meta(description="The comment that this one answers.")] | None = None
    text: Text | None = None
    upvotes: Annotated[int, Meta(ge=0, description="How many liked it so far.")] = 0

    @property
    def user_id(self) -> str:
        """The author. A field of that name means nothing here."""
        return self.author


class EngagementCreated(_SocialEvent, tag="engagement_created"):
    """Somebody engaged with a post or a comment. Counts once per (user, target, kind), except views."""

    user_id: UserId
    target_type: Annotated[Literal["post", "comment"], Meta(description="What the engagement is with.")]
    target_id: Annotated[Key, Meta(description="Id of the post or comment.")]
    kind: Annotated[Literal["like", "share", "view", "bookmark"], Meta(description="What was done.")]


SocialEvent = UserCreated | PostCreated | CommentCreated | EngagementCreated
EVENT_TYPES = frozenset({"user_created", "post_created", "comment_created", "engagement_created"})
