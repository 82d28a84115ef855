"""The listening socket, and one line for each address that it cannot be opened on."""

import errno
import socket
from typing import Any

import pytest

from sqlalchemy_pool_exporter.server.listener import open_listener, read_address
from sqlalchemy_pool_exporter.settings.fields import Address, AddressError


def test_port_zero_listens_on_a_free_port() -> None:
    with open_listener(Address("127.0.0.1", 0)) as listener:
        address = read_address(listener)
        assert address.host == "127.0.0.1"
        with socket.create_connection((address.host, address.port)):
            pass


@pytest.mark.parametrize("host", ["", "::"])
def test_without_a_host_it_listens_on_ipv6_and_ipv4(host: str) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with open_listener(Address(host, 0)) as listener:
        address = read_address(listener)
        assert address.host == "::"
        with socket.create_connection(("127.0.0.1", address.port)):
            pass


@pytest.mark.parametrize("failing", ["socket", "bind"])
def test_without_ipv6_it_listens_on_ipv4(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ipv6.disable=1, and as in a namespace that has no such address."""

    class OldSocket(socket.socket):
        def __init__(self, family: int, *arguments: int) -> None:
            if failing == "socket" and family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *arguments)

        def bind(self, address: Any) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
            super().bind(address)

    monkeypatch.setattr("socket.socket", OldSocket)
    with open_listener(Address("", 0)) as listener:
        assert read_address(listener).host == "0.0.0.0"


@pytest.mark.parametrize("taken_host", ["0.0.0.0", ""])
def test_without_a_host_a_port_in_use_on_one_address_is_refused(taken_host: str) -> None:
    with open_listener(Address(taken_host, 0)) as listener:
        address = Address("", read_address(listener).port)
        with pytest.raises(AddressError) as caught:
            open_listener(address)
    assert str(caught.value) == f"cannot listen on {address}: address already in use"


def test_a_port_in_use_is_one_line() -> None:
    with open_listener(Address("127.0.0.1", 0)) as listener:
        taken = read_address(listener)
        with pytest.raises(AddressError) as caught:
            open_listener(taken)
    assert str(caught.value) == f"cannot listen on {taken}: address already in use"


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a" * 70, "a..b"])
def test_a_host_of_another_machine_is_one_line(host: str) -> None:
    with pytest.raises(AddressError) as caught:
        open_listener(Address(host, 9723))
    assert str(caught.value).startswith(f"cannot listen on {host}:9723: ")
    assert "\n" not in str(caught.value)
