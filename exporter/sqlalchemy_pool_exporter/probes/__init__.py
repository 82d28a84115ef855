"""Probes: what each database looks like from this pod, checked every interval."""

from sqlalchemy_pool_exporter.probes.check import Check, DurationHistogram, Kind, Phase, Result
from sqlalchemy_pool_exporter.probes.probe import Probe
from sqlalchemy_pool_exporter.probes.probes import ProbeSet

__all__ = ["Check", "DurationHistogram", "Kind", "Phase", "Probe", "ProbeSet", "Result"]
