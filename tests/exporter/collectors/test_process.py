"""The families about the process are those of prometheus_client, with its numbers."""

import pytest
from prometheus_client import CollectorRegistry, Metric, PlatformCollector
from prometheus_client import ProcessCollector as ClientCollector

from sqlalchemy_pool_exporter.collectors import process
from sqlalchemy_pool_exporter.collectors.process import ProcessCollector, PythonCollector
from tests.exporter.collectors.probes import build_registry

STABLE = ("process_start_time_seconds", "process_max_fds", "process_open_fds", "python_info")


def collect(registry: CollectorRegistry) -> dict[str, Metric]:
    return {family.name: family for family in registry.collect()}


def build_peer() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ClientCollector(registry=None))
    registry.register(PlatformCollector(registry=None))
    return registry


def test_families_and_numbers_are_those_of_prometheus_client() -> None:
    ours = collect(build_registry(ProcessCollector())) | collect(build_registry(PythonCollector()))
    peers = collect(build_peer())
    assert {(each.name, each.type, each.documentation) for each in ours.values()} == {
        (each.name, each.type, each.documentation) for each in peers.values()
    }
    for name in STABLE:
        (own,), (others,) = ours[name].samples, peers[name].samples
        assert own.labels == others.labels
        assert own.value == pytest.approx(others.value)
    for name in ours.keys() - {*STABLE}:
        assert ours[name].samples[0].value == pytest.approx(peers[name].samples[0].value, rel=0.5)


def test_without_linux_the_process_has_no_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MEMORY", "/nonexistent")
    families = collect(build_registry(ProcessCollector()))
    assert not any(family.samples for family in families.values())
