"""The names in a client's certificate, and whether one of them is allowed in."""

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

# As Python's ssl calls what the toolkit looks at.
KINDS: Final = frozenset({"DNS", "email", "IP Address", "URI"})


def is_allowed(certificate: Mapping[str, Any] | None, allowed: Collection[str]) -> bool:
    """Whether a verified certificate, as ssl describes it, has one of the names."""
    return not {*map(unify, allowed)}.isdisjoint(find_names(certificate or {}))


def find_names(certificate: Mapping[str, Any]) -> Iterator[str]:
    """The subject's alternative names."""
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in KINDS:
            yield unify(name)


def unify(name: str) -> str:
    """An address of IPv6 can be written in many ways; other names are compared as they are."""
    try:
        return str(ipaddress.ip_address(name.strip()))
    except ValueError:
        return name
