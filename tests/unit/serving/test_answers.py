"""If-None-Match and the answer cache."""

import pytest

from serving.answers import MAX_CACHED_BYTES, AnswerCache, matches


@pytest.mark.parametrize(
    ("header", "etag", "is_match"),
    [
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('"b", W/"a"', '"a"', True),
        ("*", '"a"', True),
        ('"b"', '"a"', False),
        ("a", '"a"', False),
        ("", '"a"', False),
        (None, '"a"', False),
    ],
)
def test_if_none_match_compares_weakly(header: str | None, etag: str, is_match: bool) -> None:
    assert matches(header, etag) is is_match


def test_the_cache_keeps_what_was_used_last() -> None:
    cache = AnswerCache(2)
    cache.put("a", b"1")
    cache.put("b", b"2")
    assert cache.get("a") == b"1"
    cache.put("c", b"3")
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (b"1", None, b"3")


def test_the_cache_refuses_large_bodies_and_can_be_switched_off() -> None:
    cache = AnswerCache(2)
    cache.put("a", b"x" * (MAX_CACHED_BYTES + 1))
    assert cache.get("a") is None
    off = AnswerCache(0)
    off.put("a", b"1")
    assert off.get("a") is None
