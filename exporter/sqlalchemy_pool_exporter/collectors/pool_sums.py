"""The application's pools, summed over processes and labelled with the database they lead to."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from sqlalchemy_pool_exporter.collectors.families import fill_labels, read_label_names
from sqlalchemy_pool_exporter.dialects import Endpoint, build_endpoint
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.shared_files import AppReading
from sqlalchemy_pool_exporter.urls import Host, parse_host
from sqlalchemy_pool_metrics import PoolDescription, Snapshot
from sqlalchemy_pool_metrics.prometheus import POOL_LABELS, app_labels
from sqlalchemy_pool_metrics.snapshot import OTHER, limit_holders, merge

MAX_LABEL_SETS: Final = 1000
MAX_HOLDERS: Final = 200
DROPPED: Final = Snapshot(PoolDescription(name="dropped"), processes=0, additive=())

LabelValues: TypeAlias = tuple[str, ...]
# The snapshots that share all labels, each with its process.
Group: TypeAlias = list[tuple[str, Snapshot]]


class PoolSums:
    """Sums the snapshots of each pool over all processes.

    There are at most MAX_LABEL_SETS sums. The rest is summed as the pool `dropped`. A sum that has
    been shown keeps its place while one of its pools exists, so that series do not come and go. The
    same applies to the MAX_HOLDERS holders of a sum, of which the rest is summed as `other`.

    Attributes:
        label_names: the labels of every sum, in order.
    """

    def __init__(self, probes: Collection[Probe], *, per_process: bool = False) -> None:
        """Take the databases to join to; of two with one endpoint the first counts."""
        configured = read_label_names(probe.labels for probe in probes)
        self.label_names = (*POOL_LABELS, *(("process",) if per_process else ()), *configured)
        self._per_process = per_process
        self._databases: dict[Endpoint, Probe] = {}
        self._shown: dict[LabelValues, None] = {}
        self._shown_holders: dict[LabelValues, dict[str, None]] = {}
        for probe in probes:
            if probe.database.endpoint:
                self._databases.setdefault(probe.database.endpoint, probe)
        self._rest = self._label(DROPPED, "")

    def sum(self, reading: AppReading) -> Iterator[tuple[dict[str, str], Snapshot]]:
        """Yield labels and sum of each pool.

        With `per_process` only processes that still have a file are in it.
        """
        groups = self._group(reading)
        dropped = groups.pop(self._rest, [])
        self._choose_shown(groups)
        for gone in self._shown_holders.keys() - {*groups, self._rest}:
            del self._shown_holders[gone]
        for values, group in groups.items():
            if values in self._shown:
                yield self._build_sum(values, group)
            else:
                dropped += group
        if dropped:
            yield self._build_sum(self._rest, dropped)

    def find_full_processes(self, reading: AppReading) -> dict[LabelValues, list[int]]:
        """Return the ids of the processes in which a pool is full now, by its label values."""
        return {
            values: sorted(int(process.partition("-")[0]) for process in find_full(group))
            for values, group in self._group(reading).items()
        }

    def _group(self, reading: AppReading) -> dict[LabelValues, Group]:
        labelled: dict[tuple[int, str], LabelValues] = {}
        groups: dict[LabelValues, Group] = {}
        for each in reading.processes:
            process = each.process if self._per_process else ""
            for snapshot in each.pools if process or not self._per_process else ():
                # By identity: the processes of one program share one description, and labelling
                # each of their pools would take most of a scrape.
                key = id(snapshot.pool), process
                if key not in labelled:
                    labelled[key] = self._label(snapshot, process)
                groups.setdefault(labelled[key], []).append((each.process, snapshot))
        return groups

    def _label(self, snapshot: Snapshot, process: str) -> LabelValues:
        """Return the values of all labels, with those of its database if that is configured."""
        labels = {**app_labels(snapshot), "process": process}
        endpoint = read_endpoint(snapshot.pool)
        if endpoint and (probe := self._databases.get(endpoint)):
            labels = {**probe.labels, **labels, "database": probe.name}
        return tuple(fill_labels(labels, self.label_names).values())

    def _choose_shown(self, found: Collection[LabelValues]) -> None:
        self._shown = dict.fromkeys(values for values in self._shown if values in found)
        for values in found:
            if len(self._shown) >= MAX_LABEL_SETS:
                break
            self._shown[values] = None

    def _build_sum(self, values: LabelValues, group: Group) -> tuple[dict[str, str], Snapshot]:
        labels = dict(zip(self.label_names, values, strict=True))
        return labels, self._limit_holders(values, merge_group(group))

    def _limit_holders(self, values: LabelValues, merged: Snapshot) -> Snapshot:
        if not merged.holders:
            return merged
        shown = self._shown_holders.setdefault(values, {OTHER: None})
        for holder in merged.holders:
            if len(shown) == MAX_HOLDERS:
                break
            shown[holder.name] = None
        return merged._replace(holders=limit_holders(merged.holders, shown))


def merge_group(group: Group) -> Snapshot:
    """Return the sum of snapshots, in how many processes they are, and in how many one is full."""
    merged = merge([snapshot for _, snapshot in group])
    processes = len({process for process, snapshot in group if snapshot.processes})
    waits = any(snapshot.pool.waits for _, snapshot in group)
    if waits != merged.pool.waits:
        merged = merged._replace(pool=replace(merged.pool, waits=waits))
    if merged.processes == processes:
        return merged
    return merged._replace(processes=processes, saturated_processes=len(find_full(group)))


def find_full(group: Group) -> set[str]:
    """Return the processes in which one of the pools is full."""
    return {process for process, snapshot in group if snapshot.saturated_processes}


def read_endpoint(pool: PoolDescription) -> Endpoint | None:
    """Return where a pool leads by its description, in which commas separate several hosts."""
    if "," not in pool.host:
        return build_endpoint(pool.dialect, [Host(pool.host, pool.port)], pool.database)
    hosts = [parse_host(part) for part in pool.host.split(",")]
    named = [Host(host.name, host.port or pool.port) for host in hosts if host]
    is_whole = len(named) == len(hosts)
    return build_endpoint(pool.dialect, named, pool.database) if is_whole else None
