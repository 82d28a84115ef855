"""What a client could do endlessly is ended; against the real server."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import h11
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sqlalchemy_pool_exporter.server.limits import SHORT_BYTES, ClientLogFilter, Limits
from sqlalchemy_pool_exporter.server.limits import Connection as H11Connection
from tests.exporter.waiting import wait_for
from tests.exporter.web.serving import (
    Connection,
    Served,
    build_guarded_app,
    serve,
    write_web_config,
)
from tests.servers.endpoints import LOCALHOST
from tests.servers.tls import Authority

pytestmark = pytest.mark.anyio

GET = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
HURRY = Limits(request_seconds=0.1, handshake_seconds=0.1)
PATIENT = Limits(request_seconds=3600, handshake_seconds=3600)
INVALID = "Invalid HTTP request received."
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
        return PlainTextResponse("disconnected\n")

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
        app.state = build_guarded_app(None).state
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
    async with asyncio.timeout(20):
        while True:
            await connection.send(data)
            await asyncio.sleep(0.005)


async def ask(served: Served) -> int:
    async with served.open_client() as client:
        return (await client.get("/-/healthy")).status_code


@asynccontextmanager
async def connect_silently(served: Served, count: int) -> AsyncIterator[list[Connection]]:
    async with AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(served.connect()) for _ in range(count)]
        await wait_for(lambda: served.connections >= count)
        yield silent


async def test_200_silent_connections_do_not_keep_others_out() -> None:
    async with (
        serve(build_guarded_app(None), PATIENT) as served,
        connect_silently(served, 200),
    ):
        assert await ask(served) == 200


async def test_requests_beyond_the_limit_of_requests_get_503(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = Limits(requests=3)
    async with serve(build_guarded_app(None), limits) as served:
        async with connect_silently(served, 2):
            assert [await ask(served) for _ in range(3)] == [503] * 3
        await wait_for(lambda: not served.connections)
        assert await ask(served) == 200
    assert find_warnings(caplog) == ["Exceeded concurrency limit."]


async def test_connections_beyond_the_limit_of_connections_are_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = Limits(connections=2)
    async with serve(build_guarded_app(None), limits) as served:
        async with connect_silently(served, 2), served.connect() as third:
            assert await third.read_end() == b""
        await wait_for(lambda: not served.connections)
        assert await ask(served) == 200
    assert find_warnings(caplog) == ["connection refused: too many are open"]


async def test_tls_handshakes_count_as_connections(tmp_path: Path) -> None:
    server = Authority().sign(tmp_path / "server")
    files = {"cert_file": str(server.certificate), "key_file": str(server.key)}
    file = write_web_config(tmp_path, {"tls_server_config": files})
    limits = Limits(connections=2, handshake_seconds=3600)
    async with (
        serve(build_guarded_app(file), limits) as served,
        served.connect(),
        served.connect(),
        served.connect() as third,
    ):
        assert await third.read_end() == b""


async def test_a_hundred_scrapes_and_a_hundred_checks_at_once_are_answered(served: Served) -> None:
    async with served.open_client() as client:
        answers = await asyncio.gather(
            *(client.get("/metrics") for _ in range(100)),
            *(client.get("/health/db") for _ in range(100)),
        )
    assert {answer.status_code for answer in answers} == {200}


async def test_an_oversize_head_gets_400(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    async with served.connect() as connection:
        with suppress(ConnectionError):
            for _ in range(20):
                await connection.send(b"X: " + b"x" * KIB + b"\r\n")
        end = await connection.read_end()
    assert end.startswith(b"HTTP/1.1 400 ")
    assert find_warnings(caplog) == [INVALID]


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
async def test_malformed_requests_get_400_and_one_line_in_the_log(
    nonsense: bytes, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        async with served.connect() as connection:
            await connection.send(nonsense)
            assert (await connection.read_end()).startswith(b"HTTP/1.1 400 ")
    assert find_warnings(caplog) == [INVALID]


CHUNKED = b"POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
HIDING = [
    CHUNKED + b"Content-Length: 48\r\n\r\n0\r\n\r\n",
    CHUNKED.replace(b"POST", b"HEAD") + b"Content-Length: 48\r\n\r\n0\r\n\r\n",
    CHUNKED + b"\r\n3\r\nabcXX0\r\n\r\n",
]


@pytest.mark.parametrize("hiding", HIDING)
async def test_no_request_is_smuggled_behind_a_body_of_ambiguous_length(
    hiding: bytes, served: Served
) -> None:
    async with served.connect() as connection:
        await connection.send(hiding + GET)
        end = await connection.read_end()
    assert b"HTTP/1.1 2" not in end


@pytest.mark.parametrize("request_line", [b"POST /read", b"POST /wait", b"GET /no", b"HEAD /no"])
@pytest.mark.parametrize("is_later", [False, True])
async def test_nonsense_after_a_valid_head_leaves_no_traceback(
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
    assert find_warnings(caplog) == [INVALID]


async def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    async with served.connect() as connection:
        await connection.send(GET + b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        answers = [(await connection.read_answer())[1] for _ in range(3)]
    assert answers == ["healthy\n", "ready\n", "healthy\n"]


async def test_an_upgrade_is_answered_as_an_ordinary_request(served: Served) -> None:
    async with served.connect() as connection:
        await connection.send(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (await connection.read_answer())[0] == 200


async def test_an_endless_body_is_cut_off() -> None:
    async with serve(build_guarded_app(None), HURRY) as served, served.connect() as connection:
        await connection.send(
            b"POST /-/healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"
        )
        assert (await connection.read_answer())[0] == 405
        with pytest.raises(ConnectionError):
            await send_without_end(connection, b"x" * KIB)
        await wait_for(lambda: not served.connections)


@pytest.mark.parametrize("sent", [b"", b"G", GET[:-2]])
async def test_a_client_that_does_not_finish_its_head_is_disconnected(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(build_guarded_app(None), HURRY) as served, served.connect() as connection:
        await connection.send(sent)
        assert await connection.read_end() == b""
    assert find_warnings(caplog) == []


async def test_a_head_that_drips_in_is_ended_at_the_same_deadline() -> None:
    async with serve(build_guarded_app(None), HURRY) as served, served.connect() as connection:
        await connection.send(GET[:-2])
        with pytest.raises(ConnectionError):
            await send_without_end(connection, b"X: x\r\n")


async def test_a_second_request_has_the_same_deadline() -> None:
    async with serve(build_guarded_app(None), HURRY) as served, served.connect() as connection:
        await connection.send(GET)
        assert (await connection.read_answer())[0] == 200
        await connection.send(b"GET / HT")
        assert await connection.read_end() == b""


async def test_a_body_that_does_not_come_is_not_waited_for(doors: Doors) -> None:
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
    async with serve(doors.build_app(), HURRY) as served, served.connect() as connection:
        await connection.send(head)
        assert await connection.read_end() == b""
        await wait_for(lambda: not served.server.server_state.tasks)


async def test_a_client_that_waits_for_its_answer_is_not_disconnected(doors: Doors) -> None:
    async with serve(doors.build_app(), HURRY) as served, served.connect() as connection:
        await connection.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(2):
            async with served.connect() as other:  # is disconnected at the deadline
                await other.read_end()
        doors.open.set()
        assert await connection.read_answer() == (200, "through\n")


async def test_an_idle_connection_stays_open_between_requests() -> None:
    async with serve(build_guarded_app(None), HURRY) as served, served.connect() as connection:
        for _ in range(2):
            await connection.send(GET)
            assert (await connection.read_answer())[0] == 200
            async with served.connect() as other:
                await other.read_end()
        assert served.connections == 1


@pytest.mark.parametrize("late", [b"", b"x"])
async def test_an_idle_connection_is_closed_eventually(late: bytes) -> None:
    limits = Limits(idle_seconds=1, request_seconds=0.1)
    length = str(len(late)).encode()
    async with serve(build_guarded_app(None), limits) as served, served.connect() as connection:
        await connection.send(
            b"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n"
        )
        assert (await connection.read_answer())[0] == 404
        await connection.send(late)
        assert await connection.read_end() == b""


@asynccontextmanager
async def leave_unread(served: Served, times: int = 1) -> AsyncIterator[socket.socket]:
    """A client that asks for floods and reads nothing."""
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, (LOCALHOST, served.port))
        await loop.sock_sendall(slow, b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n" * times)
        await wait_for(lambda: served.connections > 0)
        yield slow


async def test_a_client_that_does_not_read_its_answer_is_disconnected(doors: Doors) -> None:
    async with serve(doors.build_app(), Limits(answer_seconds=0.5)) as served, leave_unread(served):
        await wait_for(lambda: served.connections == 0)
        await wait_for(lambda: not served.server.server_state.tasks)


async def test_a_client_that_does_not_read_its_answer_holds_up_no_other(doors: Doors) -> None:
    async with (
        serve(doors.build_app()) as served,
        leave_unread(served),
        served.open_client() as client,
    ):
        assert (await client.get("/no")).status_code == 404


async def test_a_second_answer_is_not_sent_before_the_first_is_taken(doors: Doors) -> None:
    async with serve(doors.build_app()) as served, leave_unread(served, times=3) as slow:
        await wait_for(lambda: doors.entered == 2)
        for _ in range(10):  # requests of another client, so that the server has its turns
            async with served.open_client() as client:
                await client.get("/no")
        assert doors.entered == 2
        loop = asyncio.get_running_loop()
        received = 0
        while received < 3 * 16 * KIB * KIB:
            received += len(await loop.sock_recv(slow, 1 << 20))
        assert doors.entered == 3


async def test_unread_answers_leave_no_traceback_at_the_exit(
    doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as clients, serve(doors.build_app()) as served:
        await clients.enter_async_context(leave_unread(served, times=2))
    assert [record for record in caplog.records if record.exc_info] == []


def test_no_more_connections_are_allowed_than_there_are_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for soft, expected in ((1024, (640, 512)), (256, (128, 128)), (64, (1, 1)), (-1, (640, 512))):
        monkeypatch.setattr("resource.getrlimit", lambda _kind, soft=soft: (soft, -1))
        limits = Limits().fit_descriptors()
        assert (limits.connections, limits.requests) == expected


def test_the_same_warning_is_logged_once_a_minute() -> None:
    now = [0.0]
    log_filter = ClientLogFilter(lambda: now[0])

    def is_logged(message: str, level: int = logging.WARNING) -> bool:
        return log_filter.filter(logging.LogRecord("name", level, "", 0, message, None, None))

    assert is_logged("slow")
    assert is_logged("other")
    now[0] = 59.0
    assert not is_logged("slow")
    assert is_logged("slow", logging.ERROR)
    now[0] = 60.0
    assert is_logged("slow")


@pytest.mark.parametrize(("length", "pieces"), [(1, 1), (SHORT_BYTES - 1, 1), (SHORT_BYTES, 2)])
def test_a_short_answer_is_sent_in_one_piece(length: int, pieces: int) -> None:
    connection = H11Connection(max_head_bytes=KIB)
    connection.receive_data(GET)
    connection.next_event()
    head = h11.Response(status_code=200, headers=[("Content-Length", f"{length}")])
    events = [head, h11.Data(data=b"x" * length), h11.EndOfMessage()]
    written = [output for event in events if (output := connection.send(event))]
    assert len(written) == pieces
    assert b"".join(written).startswith(b"HTTP/1.1 200 ")
    assert b"".join(written).endswith(b"\r\n\r\n" + b"x" * length)
