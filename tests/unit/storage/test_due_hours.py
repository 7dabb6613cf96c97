"""How far live must be before an hour is compared, where bronze's log no longer tells of the version that published it."""

import pytest

from storage.live.hours import Landed, _landed_since


@pytest.mark.parametrize(("first", "last"), [(0, 100), (29, 100), (30, 100), (31, 100), (100, 100), (0, 30), (0, 31)])
def test_it_is_the_first_version_of_which_the_log_tells(first: int, last: int) -> None:
    asked: list[int] = []

    def landed_at(version: int) -> Landed:
        asked.append(version)
        return {"t": {0: version}} if version >= 30 else {}

    assert _landed_since(first, last, landed_at) == {"t": {0: max(first, 30)}}
    assert len(asked) < 10


def test_a_log_without_any_tells_nothing() -> None:
    assert _landed_since(0, 50, lambda _: {}) == {}
