"""Wrong paths and methods, and the headers of every answer."""

import pytest

from sqlalchemy_pool_exporter.web.middleware import HEADERS
from sqlalchemy_pool_exporter.web.responses import PATHS
from tests.exporter.web.clients import build_app, open_client

pytestmark = pytest.mark.anyio

READABLE = [path for path in PATHS if path.startswith("/") and "{" not in path]


async def test_an_unknown_path_gets_404_with_the_list_of_paths() -> None:
    async with open_client(build_app({})) as client:
        response = await client.get("/metric")
    assert response.status_code == 404
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    for path, meaning in PATHS.items():
        assert path in response.text
        assert meaning in response.text


@pytest.mark.parametrize(
    "path", ["/metrics/", "/health/db/", "/metrics//", "/health", "/-/", "/%2F"]
)
async def test_a_path_with_a_mistake_is_not_redirected(path: str) -> None:
    async with open_client(build_app({})) as client:
        response = await client.get(path, headers={"Host": "evil.example"})
    assert response.status_code == 404
    assert "location" not in response.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", READABLE)
async def test_other_methods_get_405(method: str, path: str) -> None:
    async with open_client(build_app({})) as client:
        response = await client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"
    assert response.text == "Method not allowed. Allowed here: GET, HEAD\n"


@pytest.mark.parametrize("path", READABLE)
async def test_head_answers_with_the_headers_of_get(path: str) -> None:
    async with open_client(build_app({})) as client:
        get, head = await client.get(path), await client.head(path)
    assert head.status_code == get.status_code
    assert set(head.headers) == set(get.headers)
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("path", [*READABLE, "/unknown"])
async def test_every_answer_has_the_security_headers(path: str) -> None:
    async with open_client(build_app({})) as client:
        response = await client.get(path)
    for name, value in HEADERS.items():
        assert response.headers[name] == value
