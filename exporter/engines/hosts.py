"""The hosts among a driver's arguments, and how to take some of them away.

Knows how drivers are told several: asyncpg in lists, libpq in texts with commas.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import compress
from typing import Any

# Of several values each belongs to the host at its place; a single one is for all hosts.
KEYS = ("host", "port", "hostaddr")


def list_hosts(arguments: Mapping[str, Any]) -> list[str]:
    """The hosts as the driver will look them up: where libpq has an address, it is that."""
    hosts = split(arguments.get("host"))
    addresses = split(arguments.get("hostaddr"))
    if len(addresses) != len(hosts):
        return hosts
    return [address or host for host, address in zip(hosts, addresses, strict=True)]


def keep_hosts(arguments: Mapping[str, Any], usable: Collection[str]) -> dict[str, Any]:
    """The arguments without the hosts that are not usable."""
    kept = [host in usable for host in list_hosts(arguments)]
    return {
        key: value if key not in KEYS or all(kept) else keep(value, kept)
        for key, value in arguments.items()
    }


def keep(value: Any, kept: list[bool]) -> Any:
    values = split(value)
    if len(values) != len(kept):
        return value
    left = list(compress(values, kept))
    return ",".join(left) if isinstance(value, str) else left


def split(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    return value.split(",") if isinstance(value, str) else []
