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
from sqlalchemy_pool_exporter.web.middleware import TokenBucket
from sqlalchemy_pool_exporter.web.responses import PATHS
from sqlalchemy_pool_exporter.web_config import RateLimit
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
async def test_a_wrong_or_missing_password_gets_401(
    auth: tuple[str, str] | None, tmp_path: Path
) -> None:
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
async def test_a_malformed_authorization_gets_401(value: bytes, tmp_path: Path) -> None:
    file = write_web_config(tmp_path, build_users())
    async with serve(build_guarded_app(file)) as served, served.connect() as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: " + value + b"\r\n\r\n")
        assert (await connection.read_answer())[0] == 401


async def test_two_authorizations_get_401(tmp_path: Path) -> None:
    header = b"Authorization: Basic " + encode(f"{USER}:{PASSWORD}".encode()) + b"\r\n"
    file = write_web_config(tmp_path, build_users())
    async with serve(build_guarded_app(file)) as served, served.connect() as connection:
        for count, status in ((1, 200), (2, 401)):
            await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + header * count + b"\r\n")
            assert (await connection.read_answer())[0] == status


async def test_only_the_first_72_bytes_of_a_password_count(tmp_path: Path) -> None:
    file = write_web_config(tmp_path, build_users(long="x" * 72))
    async with serve(build_guarded_app(file)) as served:
        for length, status in ((71, 401), (72, 200), (73, 200)):
            async with served.open_client(auth=("long", "x" * length)) as client:
                assert (await client.get("/-/healthy")).status_code == status


async def test_changed_users_count_on_open_connections(tmp_path: Path) -> None:
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
    is_password = middleware.is_password

    def count(hashed: str, password: bytes) -> bool:
        compared.append(hashed)
        return is_password(hashed, password)

    monkeypatch.setattr(middleware, "is_password", count)
    file = write_web_config(tmp_path, build_users())
    async with (
        serve(build_guarded_app(file)) as served,
        served.open_client(auth=(USER, PASSWORD)) as client,
    ):
        answers = await asyncio.gather(*(client.get("/-/healthy") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(compared) == 1


async def test_wrong_passwords_evict_no_right_one_from_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(middleware, "MAX_CACHED", 3)
    users = build_users()["basic_auth_users"]
    passwords = middleware.PasswordChecker()
    assert await passwords.check(users, USER, PASSWORD.encode())
    for number in range(5):
        assert not await passwords.check(users, USER, b"%d" % number)
    assert repr(passwords) == "<PasswordChecker 1 right, 3 wrong>"


async def test_too_many_pending_passwords_get_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "MAX_PENDING", 1)
    users = {"basic_auth_users": {USER: bcrypt.hashpw(b"x", bcrypt.gensalt(12)).decode()}}
    async with serve(build_guarded_app(write_web_config(tmp_path, users))) as served:
        clients = [served.open_client(auth=(USER, f"{number}")) for number in range(8)]
        answers = await asyncio.gather(*(client.get("/") for client in clients))
        for client in clients:
            await client.aclose()
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert all(answer.text == f"{middleware.TOO_MANY_PASSWORDS}\n" for answer in refused)
    assert {answer.status_code for answer in answers} <= {401, 503}


def test_an_unknown_user_costs_as_much_as_the_costliest_one() -> None:
    users = {name: bcrypt.hashpw(b"", bcrypt.gensalt(cost)).decode() for name, cost in
             (("cheap", 4), ("dear", 6))}  # fmt: skip
    dummy = middleware.build_dummy_hash(users)
    assert dummy.startswith("$2b$06$")
    assert not bcrypt.checkpw(b"", dummy.encode())


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


async def test_requests_beyond_the_rate_get_429(tmp_path: Path) -> None:
    file = write_web_config(tmp_path, {"rate_limit": {"interval": "1h", "burst": 2}})
    async with serve(build_guarded_app(file)) as served, served.open_client() as client:
        answers = [await client.get("/-/healthy") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].text == f"{middleware.TOO_MANY_REQUESTS}\n"
        write_web_config(tmp_path, {"rate_limit": {"interval": "1ms", "burst": 1}})
        await served.reload()
        assert (await client.get("/-/healthy")).status_code == 200


async def test_no_page_shows_anything_of_the_file(tmp_path: Path) -> None:
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


def build_bucket(now: list[float], **limit: object) -> TokenBucket:
    return TokenBucket(RateLimit.model_validate(limit), lambda: now[0])


def test_a_bucket_without_an_interval_never_runs_out() -> None:
    bucket = build_bucket([0.0])
    assert all(bucket.take() for _ in range(1000))


def test_a_burst_is_taken_at_once_and_then_one_token_each_interval() -> None:
    now = [0.0]
    bucket = build_bucket(now, interval="2s", burst=3)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now[0] = 1.9
    assert not bucket.take()
    now[0] = 2.0
    assert [bucket.take(), bucket.take()] == [True, False]


def test_tokens_beyond_the_burst_are_lost() -> None:
    now = [0.0]
    bucket = build_bucket(now, interval="1s", burst=2)
    now[0] = 3600.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]
