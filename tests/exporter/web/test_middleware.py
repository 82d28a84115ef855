"""Users, their passwords, headers and rates: over HTTP, as clients see them."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest

from sqlalchemy_pool_exporter.web import middleware
from sqlalchemy_pool_exporter.web.responses import PATHS
from tests.exporter.waiting import wait_for
from tests.exporter.web.serving import build_guarded_app, serve, write_web_config

pytestmark = pytest.mark.anyio

PASSWORD = "cAnArY-7: é"
USER = "prometheus"


def hash_password(password: str, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix)).decode()


def build_users(prefix: bytes = b"2b", **users: str) -> dict[str, Any]:
    passwords = users or {USER: PASSWORD}
    return {
        "basic_auth_users": {
            name: hash_password(password, prefix) for name, password in passwords.items()
        }
    }


@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
async def test_the_right_password_gets_an_answer(prefix: str, tmp_path: Path) -> None:
    users = build_users()
    users["basic_auth_users"][USER] = f"${prefix}{users['basic_auth_users'][USER][3:]}"
    async with (
        serve(build_guarded_app(write_web_config(tmp_path, users))) as served,
        served.open_client(auth=(USER, PASSWORD)) as client,
    ):
        for _ in range(2):
            assert (await client.get("/-/healthy")).status_code == 200


@pytest.mark.parametrize(
    "auth", [(USER, "wrong"), (USER, ""), ("", PASSWORD), ("nobody", PASSWORD), ("é", "\0"), None]
)
async def test_nobody_else_gets_one(auth: tuple[str, str] | None, tmp_path: Path) -> None:
    file = write_web_config(tmp_path, build_users())
    async with (
        serve(build_guarded_app(file)) as served,
        served.open_client(auth=auth) as client,
    ):
        for _ in range(2):
            answer = await client.get("/metrics")
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Basic"
            assert answer.headers["cache-control"] == "no-store"
            assert "sqlalchemy" not in answer.text


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_every_path_is_protected(path: str, method: str, tmp_path: Path) -> None:
    app = build_guarded_app(write_web_config(tmp_path, build_users()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
        assert (await client.request(method, path)).status_code == 401


def encode(text: bytes) -> bytes:
    return base64.b64encode(text)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Basic",
        b"Basic ",
        b"Basic !!!",
        b"Basic \xff\xfe",
        b"Basic " + encode(b"no colon"),
        b"Basic " + encode(b"\xff\xfe:x"),
        b"Basic " + encode(b":"),
        b"Basic " + encode(USER.encode() + b":" + b"x" * 5000),
        b"Bearer " + encode(f"{USER}:{PASSWORD}".encode()),
        encode(f"{USER}:{PASSWORD}".encode()),
    ],
)
async def test_a_malformed_header_is_no_password(value: bytes, tmp_path: Path) -> None:
    file = write_web_config(tmp_path, build_users())
    async with serve(build_guarded_app(file)) as served, served.connect() as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: " + value + b"\r\n\r\n")
        assert (await connection.read_answer())[0] == 401


async def test_two_headers_are_no_password(tmp_path: Path) -> None:
    header = b"Authorization: Basic " + encode(f"{USER}:{PASSWORD}".encode()) + b"\r\n"
    file = write_web_config(tmp_path, build_users())
    async with serve(build_guarded_app(file)) as served, served.connect() as connection:
        for count, status in ((1, 200), (2, 401)):
            await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + header * count + b"\r\n")
            assert (await connection.read_answer())[0] == status


async def test_a_password_is_as_long_as_bcrypt_reads_it(tmp_path: Path) -> None:
    file = write_web_config(tmp_path, build_users(long="x" * 72))
    async with serve(build_guarded_app(file)) as served:
        for length, status in ((71, 401), (72, 200), (73, 200)):
            async with served.open_client(auth=("long", "x" * length)) as client:
                assert (await client.get("/-/healthy")).status_code == status


async def test_users_come_and_go_while_connections_stay(tmp_path: Path) -> None:
    file = write_web_config(tmp_path, build_users())
    async with (
        serve(build_guarded_app(file)) as served,
        served.open_client(auth=(USER, PASSWORD)) as client,
    ):
        assert (await client.get("/-/healthy")).status_code == 200
        write_web_config(tmp_path, build_users(somebody="else"))
        await served.reload()
        assert (await client.get("/-/healthy")).status_code == 401
        write_web_config(tmp_path, "")
        await served.reload()
        assert (await client.get("/-/healthy")).status_code == 200


async def test_a_bad_file_keeps_the_users(tmp_path: Path) -> None:
    file = write_web_config(tmp_path, build_users())
    async with (
        serve(build_guarded_app(file)) as served,
        served.open_client() as client,
    ):
        write_web_config(tmp_path, "basic_auth_user: {}")
        await served.reload()
        assert (await client.get("/-/healthy")).status_code == 401
        file.unlink()
        await served.reload()
        assert (await client.get("/-/healthy")).status_code == 401


async def test_many_requests_of_one_user_cost_one_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    is_right = middleware.is_right

    def count(hashed: str, password: bytes) -> bool:
        compared.append(hashed)
        return is_right(hashed, password)

    monkeypatch.setattr(middleware, "is_right", count)
    file = write_web_config(tmp_path, build_users())
    async with (
        serve(build_guarded_app(file)) as served,
        served.open_client(auth=(USER, PASSWORD)) as client,
    ):
        answers = await asyncio.gather(*(client.get("/-/healthy") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(compared) == 1


async def test_guessing_displaces_no_right_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "MOST_KEPT", 3)
    users = build_users()["basic_auth_users"]
    checks = middleware.PasswordChecker()
    assert await checks.check(users, USER, PASSWORD.encode())
    for number in range(5):
        assert not await checks.check(users, USER, b"%d" % number)
    assert repr(checks) == "<PasswordChecker 1 right, 3 wrong>"


async def test_more_passwords_than_can_be_checked_are_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "MOST_WAITING", 1)
    users = {"basic_auth_users": {USER: bcrypt.hashpw(b"x", bcrypt.gensalt(12)).decode()}}
    async with serve(build_guarded_app(write_web_config(tmp_path, users))) as served:
        clients = [served.open_client(auth=(USER, f"{number}")) for number in range(8)]
        answers = await asyncio.gather(*(client.get("/") for client in clients))
        for client in clients:
            await client.aclose()
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert all(answer.text == f"{middleware.BUSY}\n" for answer in refused)
    assert {answer.status_code for answer in answers} <= {401, 503}


def test_who_is_unknown_is_compared_with_a_hash_as_costly_as_the_users() -> None:
    users = {name: bcrypt.hashpw(b"", bcrypt.gensalt(cost)).decode() for name, cost in
             (("cheap", 4), ("dear", 6))}  # fmt: skip
    fake = middleware.build_dummy_hash(users)
    assert fake.startswith("$2b$06$")
    assert not bcrypt.checkpw(b"", fake.encode())


async def test_headers_of_the_file_replace_ours(tmp_path: Path) -> None:
    headers = {
        "X-Frame-Options": "deny",
        "X-XSS-Protection": 1,
        "Strict-Transport-Security": "max-age=60",
        "Content-Security-Policy": "default-src 'self'",
        "X-Content-Type-Options": "",
    }
    file = write_web_config(tmp_path, {"http_server_config": {"headers": headers}})
    async with serve(build_guarded_app(file)) as served, served.open_client() as client:
        for path in ("/", "/nowhere"):
            shown = (await client.get(path)).headers
            assert shown["x-frame-options"] == "deny"
            assert shown["x-xss-protection"] == "1"
            assert shown["strict-transport-security"] == "max-age=60"
            assert shown.get_list("content-security-policy") == ["default-src 'self'"]
            assert "x-content-type-options" not in shown
            assert shown["referrer-policy"] == "no-referrer"


async def test_requests_beyond_the_rate_are_told_so(tmp_path: Path) -> None:
    file = write_web_config(tmp_path, {"rate_limit": {"interval": "1h", "burst": 2}})
    async with serve(build_guarded_app(file)) as served, served.open_client() as client:
        answers = [await client.get("/-/healthy") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].text == f"{middleware.TOO_OFTEN}\n"
        write_web_config(tmp_path, {"rate_limit": {"interval": "1ms", "burst": 1}})
        await served.reload()
        assert (await client.get("/-/healthy")).status_code == 200


async def test_nothing_of_the_file_is_on_any_page(tmp_path: Path) -> None:
    users = build_users()
    file = write_web_config(tmp_path, users)
    async with (
        serve(build_guarded_app(file)) as served,
        served.open_client(auth=(USER, PASSWORD)) as client,
    ):
        for path in PATHS:
            text = (await client.get(path)).text
            for secret in (USER, PASSWORD, str(file), users["basic_auth_users"][USER]):
                assert secret not in text
    await wait_for(lambda: not served.connections)
