"""Pools of an application, and what the collector makes of them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from sqlalchemy_pool_exporter.collectors.pools import PoolCollector
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.shared_files import AppReading, ProcessPools
from sqlalchemy_pool_metrics import PoolDescription, Snapshot, instrument, read_pool
from sqlalchemy_pool_metrics.layout import ADDITIVE_SLOTS, SLOT
from tests.exporter.collectors.probes import build_registry, read_series

SIZE = "sqlalchemy_pool_size"
LEAKS = "sqlalchemy_pool_leaked_connections_total"
PROCESSES = "sqlalchemy_pool_processes"
ENGINES = "sqlalchemy_pool_engines"
SATURATED = "sqlalchemy_pool_saturated_processes"
CHECKED_OUT = "sqlalchemy_pool_checked_out"


def collect(probes: Iterable[Probe], app_pools: Iterable[Snapshot] = ()) -> CollectorRegistry:
    known = {probe.name: probe for probe in probes}
    return build_registry(
        PoolCollector(known, lambda: AppReading([ProcessPools("1-a", tuple(app_pools))], {}))
    )


def collect_processes(
    processes: Mapping[str, Iterable[Snapshot]], *, per_process: bool = False
) -> CollectorRegistry:
    """The pools by process; those of the process "" are of processes that are gone."""

    def read() -> AppReading:
        return AppReading([ProcessPools(name, tuple(all_)) for name, all_ in processes.items()], {})

    return build_registry(PoolCollector({}, read, per_process=per_process))


def read_values(registry: CollectorRegistry, name: str) -> list[float]:
    return list(read_series(registry, name).values())


def read_labels(registry: CollectorRegistry) -> list[dict[str, str]]:
    """The labels of each pool, without the application: it is the program that runs the tests."""
    return [
        {name: value for name, value in sample.labels.items() if name != "application"}
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "sqlalchemy_pool_checked_out"
    ]


def read_holders(registry: CollectorRegistry, name: str) -> dict[str, float]:
    return {
        sample.labels["holder"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"sqlalchemy_pool_{name}"
    }


def read_app_pool(url: str, name: str = "main", size: int = 5) -> Snapshot:
    engine = create_engine(url, pool_size=size)
    instrument(engine, name=name)
    return read_pool(engine)


def build_pool(name: str = "main", leaks: int = 0, **keys: Any) -> Snapshot:
    """A pool of one process that counted so many leaked connections."""
    counters = [0] * ADDITIVE_SLOTS
    counters[SLOT["leaked_connections"]] = leaks
    pool = PoolDescription(name=name, application="shop", database="orders", size=5, waits=True)
    described = replace(pool, **keys)
    return Snapshot(described, processes=1, additive=tuple(counters), engines=1, checked_out=1)


def describe(url: str) -> Snapshot:
    engine = create_async_engine(url) if "asyncpg" in url else create_engine(url)
    instrument(engine, name="main")
    return read_pool(engine)
