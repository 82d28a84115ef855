"""Any error of a database becomes one reason and one line, without a secret that it repeats."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import asyncpg
import psycopg
import pymysql
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import exc

from sqlalchemy_pool_exporter.dialects import classify
from sqlalchemy_pool_exporter.failures import PROBE_REASONS
from sqlalchemy_pool_exporter.failures.message import MAX_LENGTH
from sqlalchemy_pool_exporter.redaction import redact
from tests.fuzz.configs import CANARY
from tests.fuzz.extent import fail_when_it_hangs, fuzz
from tests.servers.endpoints import LOCALHOST, serve_port

FORMS = [
    *(CANARY, quote(CANARY, safe=""), repr(CANARY), json.dumps(CANARY), CANARY.encode().hex()),
    f"postgresql://app:{CANARY}@db",
]
WORDS = [
    *(
        "password authentication failed for user",
        "FATAL:  ",
        "too many connections",
        "\n",
        "\0",
        "'",
    ),
    *(
        "\x1b[2J",
        "\u202e",
        "\ud800",
        "%s %n {0}",
        "x" * 5000,
        "DETAIL:  ",
        "timeout",
        "://",
        "@",
        ":",
    ),
]
pieces = st.sampled_from(WORDS) | st.sampled_from(FORMS[:4] + FORMS[5:]) | st.text(max_size=30)
texts = st.lists(pieces, max_size=6).map("".join)
STATES = st.sampled_from(["28P01", "08P01", "53300", "57014", "", "XX000", "\ud800", "9" * 900])


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def build_asyncpg(text: str, state: str) -> BaseException:
    error: BaseException = asyncpg.PostgresError.new({"C": state, "M": text, "S": text, "D": text})
    return error


def build_psycopg(text: str, _state: str) -> BaseException:
    return psycopg.OperationalError(text)


def build_pymysql(text: str, state: str) -> BaseException:
    return pymysql.OperationalError(1045 if state else state, text)


def build_system(text: str, _state: str) -> BaseException:
    return OSError(111, text)


def build_other(text: str, state: str) -> BaseException:
    return UnprintableError() if state else ValueError(text, text.encode("utf-8", "replace"))


def wrap(error: BaseException, text: str, how: str) -> BaseException:
    """Wrap an error as SQLAlchemy, task groups and our own code do."""
    match how:
        case "sqlalchemy":
            return exc.DBAPIError(text, {"a": text}, error)
        case "group":
            return BaseExceptionGroup(text, [error, ValueError(text)])
        case "cause":
            outer = RuntimeError(text)
            outer.__cause__, outer.__context__ = error, outer
            return outer
    return error


@st.composite
def errors(draw: st.DrawFn) -> BaseException:
    builders = [build_asyncpg, build_psycopg, build_pymysql, build_system, build_other]
    error = draw(st.sampled_from(builders))(draw(texts), draw(STATES))
    for how in draw(st.lists(st.sampled_from(["sqlalchemy", "group", "cause"]), max_size=3)):
        error = wrap(error, draw(texts), how)
    return error


def check(error: BaseException) -> None:
    failure = classify(error, [CANARY])
    event(failure.reason)
    assert failure.reason in PROBE_REASONS
    assert 0 < len(failure.message) <= MAX_LENGTH
    assert failure.message.isprintable()
    assert CANARY not in failure.message


@fuzz()
@given(errors())
def test_any_error_has_a_reason_and_a_line_without_the_secret(error: BaseException) -> None:
    check(error)


@fuzz()
@given(texts)
def test_any_text_is_redacted_and_stays_text(text: str) -> None:
    with fail_when_it_hangs():
        once = redact(text)
        assert redact(once) == once


class Talker:
    """A server that sends given bytes, first or as its answer, and disconnects."""

    def __init__(self) -> None:
        self.says = b""
        self.speaks_first = False
        self.port = 0

    def talk(self, client: Any) -> None:
        if not self.speaks_first:
            client.recv(65536)
        client.sendall(self.says)


@pytest.fixture(scope="module")
def talker() -> Iterator[Talker]:
    talker = Talker()
    with serve_port(talker.talk) as port:
        talker.port = port
        yield talker


def connect_asyncpg(port: int) -> object:
    arguments = {"user": "app", "password": CANARY, "database": "shop", "timeout": 5}
    return asyncio.run(asyncpg.connect(host=LOCALHOST, port=port, ssl=False, **arguments))


def connect_psycopg(port: int) -> object:
    text = f"host={LOCALHOST} port={port} user=app password={CANARY} connect_timeout=5"
    return psycopg.connect(f"{text} sslmode=disable gssencmode=disable")


def connect_pymysql(port: int) -> object:
    arguments: dict[str, Any] = {"user": "app", "password": CANARY, "connect_timeout": 5}
    return pymysql.connect(host=LOCALHOST, port=port, read_timeout=5, **arguments)


def build_postgres_error(text: bytes) -> bytes:
    body = b"SFATAL\0C28P01\0M" + text + b"\0\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body


def build_mysql_error(text: bytes) -> bytes:
    body = b"\xff\x15\x04#28000" + text
    return struct.pack("<I", len(body))[:3] + b"\0" + body


def build_mysql_greeting(text: bytes) -> bytes:
    body = b"\n" + text.replace(b"\0", b"") + b"\0" + bytes(60)
    return struct.pack("<I", len(body))[:3] + b"\0" + body


sayings = texts.map(lambda text: text.encode("utf-8", "surrogatepass")[:60000]) | st.binary(
    max_size=99
)
# The second asks for the password in clear, and says what it likes.
errors_of_postgres = sayings.map(build_postgres_error) | sayings.map(
    lambda said: struct.pack("!cii", b"R", 8, 3) + build_postgres_error(said)
)
answers = (
    sayings
    | errors_of_postgres
    | sayings.map(build_mysql_error)
    | sayings.map(build_mysql_greeting)
    | st.binary(min_size=1, max_size=1).map(lambda kind: kind + struct.pack("!i", 5) + b"x")
)
# Not to asyncpg (0.32): some bytes that are no messages it reads for ever, as zeros with a five.
talks = st.tuples(st.sampled_from([connect_psycopg, connect_pymysql]), answers) | st.tuples(
    st.just(connect_asyncpg), errors_of_postgres
)


@fuzz(0.3)
@given(talks)
def test_any_answer_of_a_server_is_a_failure_without_the_secret(
    talker: Talker, talk: tuple[Callable[[int], object], bytes]
) -> None:
    connect, talker.says = talk
    talker.speaks_first = connect is connect_pymysql
    with fail_when_it_hangs(), pytest.raises(Exception) as caught:  # noqa: PT011 - any driver's
        connect(talker.port)
    check(caught.value)


@fuzz()
@given(st.text(st.characters(codec="utf-8")))
def test_any_version_of_a_server_is_a_label(version: str) -> None:
    family = GaugeMetricFamily("database_info", "x", labels=["server_version"])
    family.add_metric([version], 1)
    registry = CollectorRegistry()
    registry.register(type("Fake", (), {"collect": lambda _: [family]})())
    text = generate_latest(registry).decode()
    (read,) = text_string_to_metric_families(text)
    assert read.samples[0].labels["server_version"] == version
