"""What is written in one turn of the loop goes out in one call, in order, and before the connection closes."""

import asyncio
from typing import Any, cast

from runtime.gathered_writes import GatheredWrites


class Transport:
    """Notes its calls."""

    def __init__(self) -> None:
        self.calls: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append("close")

    def get_write_buffer_size(self) -> int:
        return 0


def gathered() -> tuple[GatheredWrites, Transport]:
    transport = Transport()
    return GatheredWrites(cast(Any, transport), asyncio.get_running_loop()), transport


def test_head_and_body_are_one_write_at_the_end_of_the_turn() -> None:
    async def run() -> None:
        writes, transport = gathered()
        writes.write(b"head ")
        writes.write(b"body")
        assert (transport.calls, writes.get_write_buffer_size()) == ([], 9)
        await asyncio.sleep(0)
        assert (transport.calls, writes.get_write_buffer_size()) == ([b"head body"], 0)

    asyncio.run(run())


def test_a_whole_answer_stands_behind_what_was_gathered() -> None:
    async def run() -> None:
        writes, transport = gathered()
        writes.write_now(b"first")
        writes.write(b"second ")
        writes.write_now(b"third")
        await asyncio.sleep(0)
        assert transport.calls == [b"first", b"second third"]

    asyncio.run(run())


def test_nothing_is_left_behind_by_closing_and_much_does_not_wait() -> None:
    async def run() -> None:
        writes, transport = gathered()
        writes.write(b"x" * 70_000)
        assert transport.calls == [b"x" * 70_000]
        writes.write(b"last")
        writes.close()
        assert transport.calls[1:] == [b"last", "close"]

    asyncio.run(run())
