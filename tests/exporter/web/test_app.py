"""The application as a whole: its routes, its start and stop, and random requests."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import Message, Scope

from sqlalchemy_pool_exporter.databases import EnginesError
from sqlalchemy_pool_exporter.web.app import build_routes
from sqlalchemy_pool_exporter.web.responses import PATHS
from tests.exporter.web.clients import CANARY, build_app, open_client, read_service

Header = tuple[bytes, bytes]

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X"]
PARTS = ["metrics", "health", "db", "shop", "-", "healthy", "ready", "databases", "recreate"]
HEADERS = [b"accept", b"accept-encoding", b"host", b"content-length", b"connection"]
VALUES = [b"text/plain", b"application/openmetrics-text", b"version=1.0.0", b"q=0.5", b"gzip"]
MARKS = [b";", b",", b"=", b"*", b" "]

known = st.sampled_from([path.partition("/")[2].format(name="shop") for path in PATHS])
made_up = st.lists(st.sampled_from(PARTS) | st.text(max_size=8), max_size=5).map("/".join)
paths = known | made_up
queries = st.lists(st.sampled_from([b"name[]", b"=", b"&", b"python_info"]) | st.binary(max_size=9))
values = st.lists(st.sampled_from(VALUES + MARKS) | st.binary(max_size=9)).map(b"".join)
headers = st.tuples(st.sampled_from(HEADERS) | st.binary(min_size=1, max_size=9), values)


def test_the_list_of_paths_is_the_list_of_routes() -> None:
    assert [route.path for route in build_routes()] == [
        path.removeprefix("POST ") for path in PATHS
    ]


def test_no_request_causes_an_internal_error(up: dict[str, Any]) -> None:
    app = build_app({"shop": up}, web={"enable_lifecycle": True})
    with asyncio.Runner() as runner:

        @settings(max_examples=300, deadline=None)
        @given(st.sampled_from(METHODS), paths, queries, st.lists(headers, max_size=4))
        def ask(method: str, path: str, query: list[bytes], lines: list[Header]) -> None:
            scope = build_scope(method, f"/{path}", b"".join(query), lines)
            status = runner.run(answer(app, scope))
            assert status in {200, 403, 404, 405}

        runner.run(read_service(app).start())
        ask()
        runner.run(read_service(app).stop())


def build_scope(method: str, path: str, query: bytes, headers: list[Header]) -> Scope:
    """A request as a server passes it on, but less well-behaved."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 9723),
    }


async def answer(app: Starlette, scope: Scope) -> int:
    """The status of the answer; exceptions of the app pass through."""
    started: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.append(message["status"])

    await app(scope, receive, send)
    (status,) = started
    return status


@pytest.mark.anyio
async def test_the_app_starts_with_databases_that_do_not_answer(
    silent_port: int, dropping_port: int
) -> None:
    databases = {
        f"{driver}_{port}": {"url": f"{scheme}://app:{CANARY}@127.0.0.1:{port}/shop"}
        for port in (silent_port, dropping_port)
        for driver, scheme in (("asyncpg", "postgresql+asyncpg"), ("pymysql", "mysql+pymysql"))
    }
    async with asyncio.timeout(15), open_client(build_app(databases)) as client:
        assert (await client.get("/-/ready")).status_code == 200


@pytest.mark.anyio
async def test_one_error_names_all_databases_that_cannot_be_built(
    up: dict[str, Any], tmp_path: Path
) -> None:
    malformed = tmp_path / "url"
    malformed.write_text(f"nonsense://app:{CANARY}@db/shop")
    databases = {
        "shop": up,
        "gone": {"url_file": str(tmp_path / "gone")},
        "wrong": {"url_file": str(malformed)},
        "thread": {"url": "postgresql+asyncpg://db/shop", "pool": {"class": "singleton_thread"}},
    }
    with pytest.raises(EnginesError) as caught:
        await read_service(build_app(databases)).start()
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "databases.gone.url_file",
        "databases.wrong.url_file",
        "databases.thread",
    ]
    assert CANARY not in str(caught.value)
