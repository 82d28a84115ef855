"""Probes: every interval one look at each database, and what was seen last."""

from sqlalchemy_pool_exporter.probes.check import Check, DurationHistogram, Kind, Phase, Result
from sqlalchemy_pool_exporter.probes.probe import Probe
from sqlalchemy_pool_exporter.probes.probes import ProbeSet

__all__ = ["Check", "DurationHistogram", "Kind", "Phase", "Probe", "ProbeSet", "Result"]
