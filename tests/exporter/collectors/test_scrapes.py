"""A crowd that scrapes gets what is true when it asked, and keeps nobody else from an answer."""

from __future__ import annotations

import asyncio

import pytest

from sqlalchemy_pool_exporter.collectors.exposition import RenderQueue

pytestmark = pytest.mark.anyio


class Page:
    """Says how often it was rendered."""

    def __init__(self) -> None:
        self.times = 0

    def render(self) -> bytes:
        self.times += 1
        return str(self.times).encode()


async def test_those_who_ask_at_the_same_time_share_one_rendering() -> None:
    scrapes, page = RenderQueue(), Page()
    answers = await asyncio.gather(*(scrapes.render("text", page.render) for _ in range(100)))
    assert set(answers) == {b"1"}
    assert await scrapes.render("text", page.render) == b"2"


async def test_who_asks_for_something_else_has_a_rendering_of_his_own() -> None:
    scrapes, page = RenderQueue(), Page()
    answers = await asyncio.gather(*(scrapes.render(key, page.render) for key in "abab"))
    assert answers == [b"1", b"2", b"1", b"2"]


async def test_others_have_their_turn_between_two_renderings() -> None:
    scrapes, page = RenderQueue(), Page()
    seen: list[int] = []

    async def look() -> None:
        while page.times < 10:
            seen.append(page.times)
            await asyncio.sleep(0)

    crowd = [scrapes.render(key, page.render) for key in range(10)]
    await asyncio.gather(look(), *crowd)
    assert set(seen) >= set(range(9))


async def test_a_client_that_hangs_up_takes_the_rendering_from_nobody() -> None:
    scrapes, page = RenderQueue(), Page()
    first, second = (asyncio.create_task(scrapes.render("a", page.render)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"1"


async def test_a_rendering_that_fails_fails_for_all_and_the_next_one_is_new() -> None:
    scrapes, page = RenderQueue(), Page()

    def fail() -> bytes:
        raise ZeroDivisionError

    asked = (scrapes.render("a", fail) for _ in range(3))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ZeroDivisionError] * 3
    assert await scrapes.render("a", page.render) == b"1"
