"""Probes: every interval one look at each database, and what was seen last."""

from exporter.probes.histogram import DurationHistogram
from exporter.probes.outcomes import Check, Kind, Phase, Result
from exporter.probes.probe import Probe
from exporter.probes.probe_set import ProbeSet

__all__ = ["Check", "DurationHistogram", "Kind", "Phase", "Probe", "ProbeSet", "Result"]
