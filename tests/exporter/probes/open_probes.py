"""Probes under test, which are not started."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy_pool_exporter.failures import Reason
from sqlalchemy_pool_exporter.probes import Check, Probe, ProbeSet
from sqlalchemy_pool_exporter.settings import ProbeSettings
from tests.exporter.open_databases import PATIENCE, build_settings, open_registry

OFTEN = 0.02
CANARY = "c4nary"


def build_probe_settings(**keys: Any) -> ProbeSettings:
    """Settings whose timeout may be longer than the interval, unlike those of a configuration."""
    return ProbeSettings().model_copy(update={"timeout": PATIENCE, **keys})


@asynccontextmanager
async def open_probes(urls: dict[str, str], **keys: Any) -> AsyncIterator[ProbeSet]:
    """Probes that have not been started; `keys` are for the probes or for the databases."""
    names = ProbeSettings.model_fields.keys() & keys.keys()
    settings = build_probe_settings(**{name: keys.pop(name) for name in names})
    databases = {
        name: build_settings(url, **keys).model_copy(update={"probe": settings})
        for name, url in urls.items()
    }
    async with open_registry(databases) as registry:
        probes = ProbeSet(registry)
        try:
            yield probes
        finally:
            await probes.stop()


@asynccontextmanager
async def open_probe(url: str, **keys: Any) -> AsyncIterator[Probe]:
    async with open_probes({"shop": url}, **keys) as probes:
        yield probes.get("shop")


def reason_of(check: Check) -> Reason | None:
    return check.failure.reason if check.failure else None
