"""What a client could do without an end, and the end of it; each with the real server."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import cast

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sqlalchemy_pool_exporter.server.limits import Limits
from sqlalchemy_pool_exporter.server.protocol import HTTPProtocol
from tests.exporter.waiting import wait_for
from tests.exporter.web.serving import Connection, Served, build_guarded_app, serve
from tests.servers.endpoints import LOCALHOST

pytestmark = pytest.mark.anyio

GET = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
HURRY = Limits(request_seconds=0.1, answer_seconds=0.1, look_seconds=0.02)
QUICK = Limits(look_seconds=0.02)
KIB = 1024


class Doors:
    """Handlers that wait until they are let through, or answer more than any buffer holds."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered = 0

    async def wait(self, _request: Request) -> Response:
        self.entered += 1
        await self.open.wait()
        return PlainTextResponse("through\n")

    async def read(self, request: Request) -> Response:
        self.entered += 1
        with suppress(ClientDisconnect):
            return PlainTextResponse(f"{len(await request.body())}\n")
        return PlainTextResponse("to nobody\n")

    async def flood(self, _request: Request) -> Response:
        self.entered += 1
        return PlainTextResponse("x" * 16 * KIB * KIB)

    def build_app(self) -> Starlette:
        app = Starlette(
            routes=[
                Route("/wait", self.wait, methods=["GET", "POST"]),
                Route("/read", self.read, methods=["POST"]),
                Route("/flood", self.flood),
            ]
        )
        app.state.service = build_guarded_app(None).state.service
        return app


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    doors = Doors()
    yield doors
    doors.open.set()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve(build_guarded_app(None)) as served:
        yield served


def find_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert not any(each.exc_info for each in caplog.records)
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


async def send_without_end(connection: Connection, data: bytes) -> None:
    while True:
        await connection.send(data)
        await asyncio.sleep(0.005)


async def test_more_requests_than_allowed_are_told_so(doors: Doors) -> None:
    async with serve(doors.build_app(), Limits(requests=2)) as served, AsyncExitStack() as stack:
        for count in range(1, 3):
            waiting = await stack.enter_async_context(served.connect())
            await waiting.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            await wait_for(lambda: doors.entered == count)  # noqa: B023 - it waits here
        async with served.connect() as refused:
            await refused.send(GET)
            assert await refused.read_answer() == (503, "Too many requests at once; ask again.\n")
            assert await refused.read_end() == b""
        doors.open.set()
        assert await waiting.read_answer() == (200, "through\n")


async def test_a_hundred_scrapes_and_a_hundred_checks_at_once_are_answered(served: Served) -> None:
    async with served.open_client() as client:
        answers = await asyncio.gather(
            *(client.get("/metrics") for _ in range(100)),
            *(client.get("/health/db") for _ in range(100)),
        )
    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_head_too_large_is_refused(
    is_slow: bool, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    head = GET[:-2] + b"X: " + b"x" * 64 * KIB + b"\r\n\r\n"
    async with served.connect() as connection:
        for start in range(0, len(head), KIB if is_slow else len(head)):
            await connection.send(head[start : start + (KIB if is_slow else len(head))])
            await asyncio.sleep(0)
        answer = await connection.read_answer()
    assert answer == (431, "The head of a request may have 16384 bytes.\n")
    assert find_warnings(caplog) == ["requests were refused: request header fields too large"]


async def test_a_head_of_ordinary_size_is_not(served: Served) -> None:
    async with served.connect() as connection:
        await connection.send(GET[:-2] + b"Cookie: " + b"x" * 8 * KIB + b"\r\n\r\n")
        assert (await connection.read_answer())[0] == 200


NONSENSE = [
    b"\0\xff" * 50 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200 + b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_what_is_no_request_is_told_so_and_fills_no_log(
    nonsense: bytes, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        async with served.connect() as connection:
            await connection.send(nonsense)
            assert await connection.read_answer() == (400, "This is not a request of HTTP/1.1.\n")
    assert find_warnings(caplog) == ["requests were refused: bad request"]


CHUNKED = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
HIDING = [
    CHUNKED + b"Content-Length: 48\r\n\r\n0\r\n\r\n",
    CHUNKED.replace(b"POST", b"HEAD") + b"Content-Length: 48\r\n\r\n0\r\n\r\n",
    CHUNKED + b"\r\n3\r\nabcXX0\r\n\r\n",
]


@pytest.mark.parametrize("hiding", HIDING)
async def test_no_second_request_hides_behind_a_body_of_doubtful_length(
    hiding: bytes, doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(doors.build_app()) as served, served.connect() as connection:
        await connection.send(hiding + GET)
        end = await connection.read_end()
    assert end.startswith(b"HTTP/1.1 400 ")
    assert end.count(b"HTTP/1.1 2") == 0
    assert find_warnings(caplog) == ["requests were refused: bad request"]


@pytest.mark.parametrize("request_line", [b"POST /read", b"POST /wait", b"GET /no", b"HEAD /no"])
@pytest.mark.parametrize("is_later", [False, True])
async def test_nonsense_after_a_good_head_breaks_nothing(
    request_line: bytes, is_later: bool, doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    """The application waits for the body, has answered, or is about to begin."""
    head = request_line + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serve(doors.build_app()) as served, served.connect() as connection:
        await connection.send(head if is_later else head + b"zzz\r\n")
        if is_later:
            state = served.server.server_state
            await wait_for(lambda: state.total_requests + doors.entered > 0)
            await connection.send(b"zzz\r\n")
        await connection.read_end()
        doors.open.set()
        await wait_for(lambda: not served.server.server_state.tasks)
    assert find_warnings(caplog) == ["requests were refused: bad request"]


async def test_an_upgrade_is_answered_as_an_ordinary_request(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async with served.connect() as connection:
        await connection.send(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (await connection.read_answer())[0] == 200
    assert find_warnings(caplog) == []


async def test_a_body_too_large_is_not_read(served: Served) -> None:
    async with served.connect() as connection:
        await connection.send(
            b"POST /-/healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"
        )
        assert (await connection.read_answer())[0] == 405
        with pytest.raises(ConnectionError):
            await send_without_end(connection, b"x" * 64 * KIB)
    await wait_for(lambda: not served.connections)


async def test_a_body_that_somebody_waits_for_has_an_end_too(doors: Doors) -> None:
    async with serve(doors.build_app()) as served, served.connect() as connection:
        await connection.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n")
        await connection.send(b"x" * 70000)
        text = "The body of a request may have 65536 bytes.\n"
        assert await connection.read_answer() == (413, text)


@pytest.mark.parametrize("sent", [b"", b"G", GET[:-2]])
async def test_a_client_that_does_not_finish_its_head_is_dropped(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(build_guarded_app(None), HURRY) as served, served.connect() as connection:
        await connection.send(sent)
        end = await connection.read_end()
    assert end.startswith(b"HTTP/1.1 408 ") if sent else end == b""
    assert find_warnings(caplog) == ["requests were refused: request timeout"] * bool(sent)


async def test_dripping_does_not_help(caplog: pytest.LogCaptureFixture) -> None:
    async with serve(build_guarded_app(None), HURRY) as served, served.connect() as connection:
        await connection.send(GET[:-2])
        with pytest.raises(ConnectionError):
            await send_without_end(connection, b"X: x\r\n")
    assert find_warnings(caplog) == ["requests were refused: request timeout"]


async def test_a_second_request_has_an_end_as_the_first() -> None:
    async with serve(build_guarded_app(None), HURRY) as served, served.connect() as connection:
        await connection.send(GET + b"GET / HT")
        assert (await connection.read_answer())[0] == 200
        assert (await connection.read_answer())[0] == 408


async def test_a_body_that_does_not_come_is_not_waited_for(doors: Doors) -> None:
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
    async with serve(doors.build_app(), HURRY) as served, served.connect() as connection:
        await connection.send(head)
        assert (await connection.read_answer())[0] == 408
    assert not served.server.server_state.tasks


async def test_whoever_waits_for_its_answer_is_not_dropped(doors: Doors) -> None:
    async with serve(doors.build_app(), HURRY) as served, served.connect() as connection:
        await connection.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        async with served.connect() as other:  # is dropped, which takes longer than allowed
            await other.read_end()
        async with served.connect() as other:
            await other.read_end()
        doors.open.set()
        assert await connection.read_answer() == (200, "through\n")


async def test_an_idle_connection_is_not_dropped() -> None:
    async with serve(build_guarded_app(None), HURRY) as served, served.connect() as connection:
        for _ in range(2):
            await connection.send(GET)
            assert (await connection.read_answer())[0] == 200
            async with served.connect() as other:
                await other.read_end()
        assert served.connections == 1


async def test_an_idle_connection_is_closed_also_when_a_body_came_late(served: Served) -> None:
    served.server.config.timeout_keep_alive = 1
    async with served.connect() as connection:
        await connection.send(b"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        assert (await connection.read_answer())[0] == 404
        await connection.send(b"x")
        assert await connection.read_end() == b""


async def test_a_client_that_does_not_take_its_answer_is_dropped(
    doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(doors.build_app(), HURRY) as served:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(slow, (LOCALHOST, served.port))
            await loop.sock_sendall(slow, b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
            await wait_for(lambda: served.connections == 1)
            await wait_for(lambda: served.connections == 0)
        await wait_for(lambda: not served.server.server_state.tasks)
    assert find_warnings(caplog) == ["clients that did not take their answer were dropped"]


@asynccontextmanager
async def leave_unread(served: Served, times: int = 1) -> AsyncIterator[Connection]:
    """A client that has asked for floods and does not read, once the server has seen that."""
    before = set(served.server.server_state.connections)
    async with served.connect() as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await connection.send(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n" * times)
        await wait_for(lambda: len(served.server.server_state.connections) > len(before))
        (its,) = cast(set[HTTPProtocol], served.server.server_state.connections) - before
        await wait_for(lambda: its.unread_since is not None)
        yield connection


async def test_a_second_answer_is_not_made_before_the_first_is_taken(doors: Doors) -> None:
    async with serve(doors.build_app(), QUICK) as served, leave_unread(served, 2) as connection:
        await wait_for(lambda: served.server.server_state.total_requests == 1)
        async with served.connect() as other:
            await other.send(b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await other.read_answer())[0] == 404
        assert doors.entered == 1
        connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(2):
            status, body = await connection.read_answer()
            assert (status, len(body)) == (200, 16 * KIB * KIB)


async def test_answers_that_nobody_takes_have_a_limit_all_together(
    doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    most = 16 * KIB * KIB + 999  # less than what two leave, more than what one does
    limits = replace(QUICK, unread_bytes=most)
    async with serve(doors.build_app(), limits) as served, leave_unread(served):
        (first,) = served.server.server_state.connections
        async with served.connect() as second:
            second.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await second.send(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
            await wait_for(lambda: first not in served.server.server_state.connections)
            second.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert (await second.read_answer())[0] == 200
    assert find_warnings(caplog) == [f"more than {most} bytes of unread answers were dropped"]


async def test_a_slow_download_is_not_ended_in_a_crowd(doors: Doors) -> None:
    limits = replace(QUICK, connections=2)
    async with (
        serve(doors.build_app(), limits) as served,
        leave_unread(served) as slow,
        served.connect() as silent,
    ):
        await wait_for(lambda: served.connections == 2)
        async with served.connect():
            assert await silent.read_end() == b""
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await slow.read_answer())[1]) == 16 * KIB * KIB


async def test_those_who_do_not_read_keep_nobody_out(doors: Doors) -> None:
    limits = replace(QUICK, connections=2)
    async with (
        serve(doors.build_app(), limits) as served,
        leave_unread(served),
        leave_unread(served),
        served.connect() as other,
    ):
        await other.send(b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await other.read_answer())[0] == 404


async def test_answers_that_nobody_has_taken_at_the_end_leave_no_traceback(
    doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as clients, serve(doors.build_app()) as served:
        await clients.enter_async_context(leave_unread(served, times=2))
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(doors: Doors) -> None:
    limits = Limits(answer_seconds=20, look_seconds=0.01)
    async with serve(doors.build_app(), limits) as served, served.connect() as connection:
        await connection.send(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        status, body = await connection.read_answer()
    assert (status, len(body)) == (200, 16 * KIB * KIB)


def test_no_more_connections_are_allowed_than_there_are_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for soft, expected in ((1024, 640), (256, 128), (64, 1), (-1, 640)):
        monkeypatch.setattr("resource.getrlimit", lambda _kind, soft=soft: (soft, -1))
        assert Limits().fit_descriptors().connections == expected
