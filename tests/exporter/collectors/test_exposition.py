"""Which client gets which format, and what a crowd of clients gets."""

import asyncio
import gzip
import sys
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.core import CounterMetricFamily, Metric

from sqlalchemy_pool_exporter.collectors.exposition import (
    RenderQueue,
    accepts_gzip,
    choose_exposition,
    compress,
    find_zlib,
    parse_weights,
)

OPENMETRICS = "application/openmetrics-text"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def build_requests() -> Metric:
    family = CounterMetricFamily("requests", "Requests.", labels=["path"])
    family.add_metric(["/"], 3)
    return family


@pytest.mark.parametrize(
    "accept",
    [
        PROMETHEUS_2,
        PROMETHEUS_3,
        OPENMETRICS,
        f"text/plain;q=0.5,{OPENMETRICS};version=1.0.0",
        f'{OPENMETRICS.title()} ; charset=utf-8; Version="1.0.0"',
    ],
)
def test_a_client_that_prefers_openmetrics_gets_it(accept: str) -> None:
    exposition = choose_exposition(accept)
    assert exposition.content_type.startswith(f"{OPENMETRICS}; version=1.0.0; charset=utf-8")
    assert exposition.render([build_requests()]) == (
        '# HELP requests Requests.\n# TYPE requests counter\nrequests_total{path="/"} 3.0\n'
    )
    assert exposition.end == "# EOF\n"


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
        "text/plain",
        f"{OPENMETRICS};q=0.1,text/plain;version=0.0.4;q=0.9",
        f"{OPENMETRICS};q=0",
        f"{OPENMETRICS};version=0.0.1",
        f"{OPENMETRICS};version=2.0.0",
        f"{OPENMETRICS};version=nonsense",
        f"{OPENMETRICS};version=1.0.0;version=2.0.0",
        "application/json",
    ],
)
def test_other_clients_get_the_text_format(accept: str) -> None:
    exposition = choose_exposition(accept)
    assert exposition.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert exposition.render([build_requests()]) == (
        "# HELP requests_total Requests.\n# TYPE requests_total counter\n"
        'requests_total{path="/"} 3.0\n'
    )
    assert exposition.end == ""


def test_a_newer_text_format_is_labelled_as_such() -> None:
    exposition = choose_exposition("text/plain;version=1.0.0;escaping=underscores")
    assert exposition.content_type.startswith("text/plain; version=")
    assert 'requests_total{path="/"} 3.0\n' in exposition.render([build_requests()])


@given(st.text(alphabet=f"{OPENMETRICS};version=1.0,q", max_size=60) | st.text())
def test_any_accept_header_gets_a_format(accept: str) -> None:
    exposition = choose_exposition(accept)
    assert exposition.render([build_requests()])
    assert exposition.content_type.startswith(("text/plain; version=", f"{OPENMETRICS}; version=1"))


@pytest.fixture(params=["isal", "zlib"])
def compressor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """With the extra isal, or without it."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    find_zlib.cache_clear()
    yield request.param
    find_zlib.cache_clear()


def test_compressed_body_is_the_same_body_and_the_same_every_time(compressor: str) -> None:
    assert compressor in find_zlib().__name__
    body = b"sqlalchemy_pool_size 1.0\n" * 100
    assert gzip.decompress(compress(body)) == body
    assert compress(body) == compress(body)
    assert len(compress(body)) < len(body) / 10


@pytest.mark.parametrize("weight", ["2", "-1", "nan", "inf", "high", ""])
def test_an_entry_without_a_valid_weight_is_left_out(weight: str) -> None:
    assert parse_weights(f"text/plain;q={weight}") == []


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5, br", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("xgzip", False),
    ],
)
def test_only_a_client_that_asks_for_gzip_gets_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@given(st.text(alphabet='abq=;,/*."0123456789 -') | st.text())
@example("gzip;q=x")
@example("gzip;q=nan")
@example("gzip;q=2, gzip;q=-1")
def test_any_header_has_weights_from_0_to_1(header: str) -> None:
    assert all(0 <= weight <= 1 for _, weight in parse_weights(header))
    assert accepts_gzip(header) in {True, False}


class Page:
    """Says how often it was rendered."""

    def __init__(self) -> None:
        self.times = 0

    def render(self) -> bytes:
        self.times += 1
        return str(self.times).encode()


@pytest.mark.anyio
async def test_requests_at_the_same_time_share_one_rendering() -> None:
    queue, page = RenderQueue(), Page()
    answers = await asyncio.gather(*(queue.render("text", page.render) for _ in range(100)))
    assert set(answers) == {b"1"}
    assert await queue.render("text", page.render) == b"2"


@pytest.mark.anyio
async def test_another_format_is_rendered_for_itself() -> None:
    queue, page = RenderQueue(), Page()
    answers = await asyncio.gather(*(queue.render(key, page.render) for key in "abab"))
    assert answers == [b"1", b"2", b"1", b"2"]


@pytest.mark.anyio
async def test_other_tasks_run_between_two_renderings() -> None:
    queue, page = RenderQueue(), Page()
    seen: list[int] = []

    async def look() -> None:
        while page.times < 10:
            seen.append(page.times)
            await asyncio.sleep(0)

    crowd = [queue.render(key, page.render) for key in range(10)]
    await asyncio.gather(look(), *crowd)
    assert set(seen) >= set(range(9))


@pytest.mark.anyio
async def test_a_client_that_hangs_up_does_not_cancel_the_rendering_for_others() -> None:
    queue, page = RenderQueue(), Page()
    first, second = (asyncio.create_task(queue.render("a", page.render)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"1"


@pytest.mark.anyio
async def test_a_failed_rendering_fails_for_all_that_wait_and_is_not_kept() -> None:
    queue, page = RenderQueue(), Page()

    def fail() -> bytes:
        raise ZeroDivisionError

    asked = (queue.render("a", fail) for _ in range(3))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ZeroDivisionError] * 3
    assert await queue.render("a", page.render) == b"1"
