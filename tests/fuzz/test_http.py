"""Whatever clients send gets an answer or a closed connection, and leaves nothing behind."""

from __future__ import annotations

import re
import selectors
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import httpx
import pytest
import yaml
from hypothesis import event, given
from hypothesis import strategies as st

from tests.exporter.commands import RunningExporter, run_exporter
from tests.fuzz.configs import CANARY
from tests.fuzz.extent import fuzz
from tests.fuzz.requests import anything, intrusions
from tests.servers.conditions import wait_until
from tests.servers.endpoints import open_closed_port

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
# Paths that get 503 because a database is down.
MAY_BE_UNAVAILABLE = re.compile(rb"health|recreate|reload|ready", re.IGNORECASE)
# How long a client waits for more of an answer before it closes its side.
SHORT_SECONDS = 0.03
PATIENCE_SECONDS = 30.0
USER = "admin"


@dataclass
class Target:
    """A running exporter; `seen` is how much of its log has been read."""

    exporter: RunningExporter
    descriptors: int
    seen: int = 0
    auth: tuple[str, str] | None = None

    def send(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Return the answers to clients that send these payloads at the same time."""
        with ExitStack() as stack:
            clients = [
                stack.enter_context(closing(socket.create_connection(self.exporter.address)))
                for _ in payloads
            ]
            for client, payload in zip(clients, payloads, strict=True):
                client.settimeout(PATIENCE_SECONDS)
                with suppress(ConnectionError):
                    client.sendall(payload)
            return read_answers(clients)

    def read_log(self) -> str:
        """Return what has been logged since the last call."""
        log = self.exporter.log.read_text(errors="replace")
        new, self.seen = log[self.seen :], len(log)
        return new

    def count_descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.exporter.process.pid}/fd").iterdir()))

    def check(self) -> None:
        """Assert that it serves as if nothing had happened."""
        with self.exporter.open_client() as client:
            answer = client.get("/metrics", auth=self.auth or httpx.USE_CLIENT_DEFAULT)
            assert answer.status_code == 200
            assert "sqlalchemy_pool_exporter_build_info" in answer.text
        wait_until(
            lambda: self.count_descriptors() <= self.descriptors,
            f"descriptors of no more than {self.descriptors} again",
            PATIENCE_SECONDS,
        )


def read_answers(clients: Sequence[socket.socket]) -> list[bytes]:
    """Return everything that the server sends to each client until it hangs up."""
    answers = dict.fromkeys(clients, b"")
    with selectors.DefaultSelector() as waiting:
        for client in clients:
            waiting.register(client, selectors.EVENT_READ)
        patience = SHORT_SECONDS
        while waiting.get_map():
            events = waiting.select(patience)
            if not events:
                assert patience == SHORT_SECONDS, "the server does not hang up"
                patience = PATIENCE_SECONDS
                for key in waiting.get_map().values():
                    with suppress(OSError):
                        key.fileobj.shutdown(socket.SHUT_WR)  # type: ignore[union-attr]
            for key, _ in events:
                assert isinstance(key.fileobj, socket.socket)
                piece = read_piece(key.fileobj)
                answers[key.fileobj] += piece
                if not piece:
                    waiting.unregister(key.fileobj)
    return list(answers.values())


def read_piece(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except ConnectionError:
        return b""


@contextmanager
def run_target(
    folder: Path, port: int, settings: dict[str, str], auth: tuple[str, str] | None = None
) -> Iterator[Target]:
    """Yield an exporter with a database that is up and one that is down."""
    (folder / "shop.db").touch()
    settings = {
        "DATABASES__UP__URL": f"sqlite:///{folder}/shop.db",
        "DATABASES__DOWN__URL": f"postgresql://app:{CANARY}@127.0.0.1:{port}/shop",
        "PROBE__INTERVAL": "1h",
        "LOG__LEVEL": "debug",
        **settings,
    }
    with run_exporter(folder / "log", settings=settings) as exporter:
        target = Target(exporter, 0, auth=auth)
        # Threads, pipes and other things are made at their first use.
        with exporter.open_client() as client:
            for path in ("/metrics", "/health/db", "/"):
                client.get(path, auth=auth or httpx.USE_CLIENT_DEFAULT)
        target.descriptors = target.count_descriptors() + 1
        yield target
        target.check()
        assert exporter.stop() == 0


@pytest.fixture(scope="module")
def refusing_port() -> Iterator[int]:
    with open_closed_port() as port:
        yield port


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, refusing_port: int) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("open")
    with run_target(folder, refusing_port, {"WEB__ENABLE_LIFECYCLE": "true"}) as target:
        yield target


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, refusing_port: int) -> Iterator[Target]:
    """An exporter that answers only a user with a password."""
    folder = tmp_path_factory.mktemp("guarded")
    password = bcrypt.hashpw(CANARY.encode(), bcrypt.gensalt(4)).decode()
    file = folder / "web.yml"
    file.write_text(yaml.safe_dump({"basic_auth_users": {USER: password}}))
    settings = {"WEB__CONFIG_FILE": str(file)}
    with run_target(folder, refusing_port, settings, (USER, CANARY)) as target:
        yield target


def check_answer(payload: bytes, answer: bytes) -> list[int]:
    """Return the statuses; none of them is an internal error."""
    statuses = [int(status) for status in STATUS.findall(answer)]
    for status in statuses:
        event(f"status {status}")
        assert status < 500 or (status == 503 and MAY_BE_UNAVAILABLE.search(payload))
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert b"Traceback" not in answer
    assert CANARY.encode() not in answer
    assert b"X-Injected" not in answer.partition(b"\r\n\r\n")[0]
    return statuses


def check_log(target: Target) -> None:
    log = target.read_log()
    assert "Traceback" not in log
    assert " error " not in log.lower()
    assert CANARY not in log


@fuzz(0.2)
@given(st.lists(anything, min_size=1, max_size=8))
def test_any_bytes_get_an_answer_or_a_closed_connection(
    target: Target, payloads: list[bytes]
) -> None:
    for payload, answer in zip(payloads, target.send(payloads), strict=True):
        check_answer(payload, answer)
    check_log(target)
    target.check()


@fuzz(0.06)
@given(st.lists(intrusions, min_size=1, max_size=8))
def test_no_request_gets_in_without_the_password(guarded: Target, payloads: list[bytes]) -> None:
    for payload, answer in zip(payloads, guarded.send(payloads), strict=True):
        statuses = check_answer(payload, answer)
        assert all(status == 100 or 400 <= status < 500 for status in statuses)
    check_log(guarded)
    guarded.check()
