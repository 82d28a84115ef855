"""The arguments that a driver is called with to open a connection."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import compress
from typing import Any

from sqlalchemy.engine.interfaces import Dialect

from sqlalchemy_pool_exporter.dialects import DatabaseURL, find_driver
from sqlalchemy_pool_exporter.settings import DatabaseSettings

# With several values each belongs to the host at its position; a single one is for all hosts.
PER_HOST_KEYS = ("host", "port", "hostaddr")
PASSWORD_KEYS = ("password", "passwd")


def build_connect_args(
    dialect: Dialect, url: DatabaseURL, settings: DatabaseSettings
) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments; those of the configuration win over the URL's.

    Arguments that the driver would refuse are left in: loading the settings has reported them.
    """
    cargs, cparams = dialect.create_connect_args(url.url)
    driver = find_driver(dialect.name, dialect.driver)
    defaults = driver.connect_arguments(settings.probe.timeout, settings.statement_timeout)
    configured, _ = driver.convert(settings.connect_args)
    arguments = merge_arguments(defaults, cparams, url.connect_args, configured)
    for key in PASSWORD_KEYS:
        if isinstance(arguments.get(key), str):
            arguments[key] = driver.encode_password(arguments[key])
    return list(cargs), arguments


def merge_arguments(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of all layers: later ones win, and mappings are merged key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            merged[key] = merge_values(key, merged.get(key), value)
    return merged


def merge_values(key: str, earlier: Any, later: Any) -> Any:
    """Return the value of an argument that two layers may have."""
    if isinstance(earlier, Mapping) and isinstance(later, Mapping):
        return {**earlier, **later}
    if key == "options" and isinstance(earlier, str) and isinstance(later, str):
        return f"{earlier} {later}"  # libpq's command line, on which the last setting counts
    return later


def list_hosts(arguments: Mapping[str, Any]) -> list[str]:
    """Return the hosts as the driver looks them up: for libpq `hostaddr` where there is one."""
    hosts = split(arguments.get("host"))
    addresses = split(arguments.get("hostaddr"))
    if len(addresses) != len(hosts):
        return hosts
    return [address or host for host, address in zip(hosts, addresses, strict=True)]


def select_hosts(arguments: Mapping[str, Any], usable: Collection[str]) -> dict[str, Any]:
    """Return the arguments without the hosts that are not usable, and without their ports."""
    selectors = [host in usable for host in list_hosts(arguments)]
    if all(selectors):
        return dict(arguments)
    return {
        key: select(value, selectors) if key in PER_HOST_KEYS else value
        for key, value in arguments.items()
    }


def select(value: Any, selectors: list[bool]) -> Any:
    """Return the selected parts of a list or of a text with commas, as the same type."""
    values = split(value)
    if len(values) != len(selectors):
        return value
    selected = list(compress(values, selectors))
    return ",".join(selected) if isinstance(value, str) else selected


def split(value: Any) -> list[Any]:
    """Return the parts of a list or of a text with commas; an empty list for anything else."""
    if isinstance(value, list | tuple):
        return list(value)
    return value.split(",") if isinstance(value, str) else []
