"""The endpoint or task that holds a connection, in real frameworks."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import django.conf
import pytest
from celery import Celery  # type: ignore[import-untyped]
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.urls import path as django_path
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse
from flask import Flask
from flask.wrappers import Response as FlaskResponse
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from sqlalchemy_pool_metrics import endpoints, holder, instrument, read_pool
from sqlalchemy_pool_metrics.registry import PROCESS

HOSTILE = ("4711", "a b@example.com", "%7Border%7D", "x'; DROP TABLE orders", "ünï%09code")
PLACEHOLDER = re.compile(r"\{[^}]*\}|<[^>]*>")


current: list[Engine] = []
"""The engine of the test. Frameworks keep endpoints, which must not keep engines."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = instrument(create_engine(f"sqlite:///{tmp_path}/shop.db"), holders=True)
    current.append(engine)
    yield engine
    engine.dispose()
    current.clear()


@pytest.fixture(scope="module", autouse=True)
def collect_engines() -> Iterator[None]:
    """Leave no pool behind: a later test that forks would count it."""
    yield
    gc.collect()


def use(*_: object) -> None:
    with current[0].connect():
        pass


def holds(engine: Engine) -> dict[str, int]:
    return {each.name: each.holds for each in read_pool(engine).holders}


def request(app: Any, method: str, path: str) -> int:
    """Send a request without a network; return the status of the response."""
    target, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "method": method,
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "headers": [],
    }
    (start, *_) = asyncio.run(run_asgi(app, scope, {"type": "http.request", "body": b""}))
    return int(start["status"])


def open_socket(app: Any, path: str) -> None:
    scope = {"type": "websocket", "path": path, "query_string": b"", "headers": []}
    asyncio.run(run_asgi(app, scope, {"type": "websocket.connect"}))


async def run_asgi(app: Any, scope: Any, received: Any) -> list[Any]:
    sent: list[Any] = []
    to_receive = [received]

    async def receive() -> Any:
        return to_receive.pop() if to_receive else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def build_fastapi() -> FastAPI:
    """An application that uses connections in endpoints of every kind."""
    app, inner, router = FastAPI(), FastAPI(), APIRouter(prefix="/orders")

    @app.post("/async/{order}")
    async def answer(order: str) -> None:
        use(order)

    @app.get("/sync/{order}")
    def answer_in_thread(order: str) -> None:
        use(order)

    @app.websocket("/socket/{order}")
    async def talk(socket: WebSocket, order: str) -> None:
        await socket.accept()
        use(order)
        await socket.close()

    @router.delete("/{order}/lines/{line}")
    async def delete(order: str, line: str) -> None:
        use(order, line)

    @inner.get("/inner/{order}")
    async def answer_mounted(order: str) -> None:
        use(order)

    app.include_router(router, prefix="/v1")
    app.mount("/tenants/{tenant}", inner)
    add_work_beside_the_endpoint(app)
    return app


def add_work_beside_the_endpoint(app: FastAPI) -> None:
    def open_session() -> Iterator[None]:
        with current[0].connect():
            yield

    @app.get("/dependency/{order}", dependencies=[Depends(open_session)])
    async def answer(order: str) -> str:
        return order

    @app.get("/stream/{order}")
    async def stream(order: str) -> StreamingResponse:
        async def produce() -> AsyncIterator[str]:
            yield order
            use()

        return StreamingResponse(produce())

    @app.get("/background/{order}")
    async def answer_first(order: str, tasks: BackgroundTasks) -> None:
        tasks.add_task(use, order)

    @app.get("/task/{order}")
    async def start_task(order: str) -> None:
        async def work() -> None:
            use(order)

        await asyncio.create_task(work())


@pytest.mark.parametrize(
    "template",
    [
        "POST /async/{order}",
        "GET /sync/{order}",
        "DELETE /v1/orders/{order}/lines/{line}",
        "GET /tenants/{tenant}/inner/{order}",
        "GET /dependency/{order}",
        "GET /stream/{order}",
        "GET /background/{order}",
        "GET /task/{order}",
    ],
)
def test_fastapis_endpoints_are_named_by_method_and_template(engine: Engine, template: str) -> None:
    app = build_fastapi()
    method, path = template.split(" ")
    for typed in HOSTILE:
        assert request(app, method, PLACEHOLDER.sub(typed, path) + "?q=secret") == 200

    assert holds(engine) == {template: len(HOSTILE)}


def test_fastapis_websockets_are_named(engine: Engine) -> None:
    open_socket(build_fastapi(), "/socket/secret")

    assert set(holds(engine)) == {"WEBSOCKET /socket/{order}"}


def test_an_unknown_method_is_not_part_of_a_name(engine: Engine) -> None:
    class Anything:
        """An endpoint that takes every method."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            use()
            await PlainTextResponse("")(scope, receive, send)

    app = Starlette(routes=[Route("/any", Anything())])
    assert request(app, "SECRET", "/any") == 200

    assert set(holds(engine)) == {"OTHER /any"}


def test_starlettes_mounts_and_converters_are_named(engine: Engine) -> None:
    async def answer(_: Request) -> PlainTextResponse:
        use()
        return PlainTextResponse("")

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        use()
        await socket.close()

    async def other_application(scope: Any, receive: Any, send: Any) -> None:
        use()
        await PlainTextResponse("")(scope, receive, send)

    routes = [
        Mount("/a/{b}", routes=[Mount("/c", routes=[Route("/{d:path}", answer)])]),
        Mount("/rooms", routes=[WebSocketRoute("/{room:int}", talk)]),
        Mount("/other", other_application),
    ]
    app = Starlette(routes=routes)
    request(app, "GET", "/a/secret/c/very/secret")
    open_socket(app, "/rooms/4711")
    request(app, "GET", "/other/secret")

    assert set(holds(engine)) == {
        "GET /a/{b}/c/{d}",
        "WEBSOCKET /rooms/{room}",
        "GET /other/{path}",
    }


def test_a_name_goes_before_an_endpoint_and_ends_with_it(engine: Engine) -> None:
    async def answer(_: Request) -> PlainTextResponse:
        with holder("totals"):
            use()
        return PlainTextResponse("")

    request(Starlette(routes=[Route("/", answer)]), "GET", "/")
    use()

    assert set(holds(engine)) == {"totals", f"{__name__}.use"}


def test_a_framework_that_is_imported_late_comes_with_a_new_coroutine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = instrument(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/a.db"), holders=True)

    async def warm_up() -> None:
        await (await engine.connect()).close()
        await engine.dispose()

    async def list_orders() -> None:
        await (await engine.connect()).close()
        await engine.dispose()

    asyncio.run(warm_up())
    flask = [each for each in endpoints._FRAMEWORKS if each[0] == "flask"]
    monkeypatch.setattr(endpoints, "_FRAMEWORKS", flask)
    nothing = {"modules": 0, "finders": (), "_finders": {}}  # as before the import
    for name, value in nothing.items():
        monkeypatch.setattr(endpoints.loaded, name, value)
    app = Flask("shop")
    app.add_url_rule("/orders", view_func=str)
    with app.test_request_context("/orders"):
        asyncio.run(list_orders())

    assert [each.name for each in read_pool(engine).holders][1:] == ["GET /orders"]


def test_a_framework_that_is_imported_late_is_found_with_functions_that_are_known(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    use()
    flask = [each for each in endpoints._FRAMEWORKS if each[0] == "flask"]
    monkeypatch.setattr(endpoints, "_FRAMEWORKS", flask)
    for name, value in {"modules": 1, "finders": (), "_finders": {}}.items():
        monkeypatch.setattr(endpoints.loaded, name, value)
    app = Flask("shop")
    app.add_url_rule("/orders", view_func=str)
    PROCESS.request_maintenance()  # as at the first event after some seconds
    with app.test_request_context("/orders"):
        use()

    assert set(holds(engine)) == {f"{__name__}.use", "GET /orders"}


def test_flasks_endpoints_are_named_by_method_and_rule(engine: Engine) -> None:
    app = Flask("shop")

    @app.route("/orders/<order>/<path:rest>", methods=["GET", "PUT"])
    def answer(order: str, rest: str) -> str:
        use(order, rest)
        return ""

    @app.before_request
    def look_up_user() -> FlaskResponse | None:
        use()
        return None

    client = app.test_client()
    for typed in HOSTILE:
        client.put(f"/orders/{typed}/{typed}?q=secret")
    client.get("/secret")

    assert holds(engine)["PUT /orders/<order>/<path:rest>"] == 2 * len(HOSTILE)
    assert set(holds(engine)) == {"PUT /orders/<order>/<path:rest>", f"{__name__}.use"}


def test_celerys_tasks_are_named_also_inside_a_request(engine: Engine) -> None:
    celery, flask = Celery("shop"), Flask("shop")

    def sell(order: str) -> None:
        use(order)

    task = celery.task(name="shop.tasks.sell", shared=False)(sell)

    @flask.route("/<order>")
    def answer(order: str) -> str:
        task.apply(args=[order])
        return ""

    task.apply(args=["secret"])
    flask.test_client().get("/secret")

    assert holds(engine) == {"shop.tasks.sell": 2}


@pytest.fixture(scope="module")
def configure_django() -> None:
    def answer(_: Any, order: str) -> HttpResponse:
        use(order)
        return HttpResponse(order)

    async def answer_async(_: Any, order: str) -> HttpResponse:
        use(order)
        return HttpResponse(order)

    urls = (
        django_path("orders/<str:order>/", answer),
        django_path("async/<str:order>/", answer_async),
    )
    django.conf.settings.configure(ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"], SECRET_KEY="-")


@pytest.mark.usefixtures("configure_django")
def test_djangos_views_are_named_by_method_and_route(engine: Engine) -> None:
    handler = WSGIHandler()
    for typed in HOSTILE:
        path = f"/orders/{typed.replace('/', '')}/"
        assert handler.get_response(RequestFactory().post(path)).status_code == 200
    use()

    assert set(holds(engine)) == {"POST /orders/<str:order>/", f"{__name__}.use"}


@pytest.mark.usefixtures("configure_django")
def test_djangos_asynchronous_views_are_named(engine: Engine) -> None:
    request = AsyncRequestFactory().get("/async/secret/")
    response = asyncio.run(ASGIHandler().get_response_async(request))

    assert response.status_code == 200
    assert set(holds(engine)) == {"GET /async/<str:order>/"}
