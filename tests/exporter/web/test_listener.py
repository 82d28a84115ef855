"""Addresses as people write them, and one line for each that cannot be served on."""

import socket

import pytest

from exporter.web.listener import (
    Address,
    AddressError,
    open_listener,
    parse_address,
    read_address,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:9723", Address("0.0.0.0", 9723)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("localhost:80", Address("localhost", 80)),
        (":9723", Address("", 9723)),
        ("[::1]:9723", Address("::1", 9723)),
        ("[::]:9723", Address("::", 9723)),
    ],
)
def test_address_is_read_and_written_the_same_way(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "9723", "localhost", "localhost:", "localhost:http", "::1:9723", "host:65536", "a b:1",
     "http://localhost:9723", "host:-1", "host:9723/metrics", "host:9723\n"],
)  # fmt: skip
def test_what_is_no_address_is_shown_with_what_is_one(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert str(caught.value) == (f"{text!r} is not an address like 0.0.0.0:9723 or [::1]:9723")


def test_port_zero_listens_on_a_free_port() -> None:
    with open_listener(Address("127.0.0.1", 0)) as listener:
        address = read_address(listener)
        assert address.host == "127.0.0.1"
        with socket.create_connection((address.host, address.port)):
            pass


def test_empty_host_listens_on_all_addresses() -> None:
    with open_listener(Address("", 0)) as listener:
        assert read_address(listener).host == "0.0.0.0"


def test_taken_port_is_one_clear_line() -> None:
    with open_listener(Address("127.0.0.1", 0)) as listener:
        taken = read_address(listener)
        with pytest.raises(AddressError) as caught:
            open_listener(taken)
    assert str(caught.value) == f"cannot listen on {taken}: address already in use"


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a" * 70, "a..b"])
def test_host_of_another_machine_is_one_clear_line(host: str) -> None:
    with pytest.raises(AddressError) as caught:
        open_listener(Address(host, 9723))
    assert str(caught.value).startswith(f"cannot listen on {host}:9723: ")
    assert "\n" not in str(caught.value)
