"""The application's pools as rows for the families: joined to databases, summed, and not too many.

It knows labels and snapshots, not files.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from sqlalchemy_pool_exporter.collectors.families import fill_labels
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.shared_files import AppReading
from sqlalchemy_pool_exporter.urls import Endpoint, Host, build_endpoint, parse_host
from sqlalchemy_pool_metrics import PoolDescription, Snapshot
from sqlalchemy_pool_metrics.prometheus import app_labels
from sqlalchemy_pool_metrics.snapshot import merge

MAX_LABEL_SETS: Final = 1000
DROPPED: Final = Snapshot(PoolDescription(name="dropped"), processes=0, additive=())

Values: TypeAlias = tuple[str, ...]
# The snapshots of one set of labels, each with its process.
Group: TypeAlias = list[tuple[str, Snapshot]]


class AppPools:
    """Sums what processes say about the same pool.

    There are at most MAX_LABEL_SETS sums: who comes first has one as long as he is there, the rest
    is one sum more, of the pool `dropped`.
    """

    def __init__(self, probes: Iterable[Probe], names: Sequence[str]) -> None:
        """Takes the databases to join to, the first one of several that are the same."""
        self._names = names
        self._databases: dict[Endpoint, Probe] = {}
        self._known: dict[Values, None] = {}
        for probe in probes:
            if probe.database.endpoint:
                self._databases.setdefault(probe.database.endpoint, probe)

    def sum(self, reading: AppReading) -> Iterator[tuple[dict[str, str], Snapshot]]:
        """Yields a row for each set of labels; per process only of those that have a file."""
        groups = self._group(reading)
        rest = self._fill(DROPPED, "")
        dropped = groups.pop(rest, [])
        self._remember(groups)
        for values, group in groups.items():
            if values in self._known:
                yield self._build_row(values, group)
            else:
                dropped += group
        if dropped:
            yield self._build_row(rest, dropped)

    def _group(self, reading: AppReading) -> dict[Values, Group]:
        """Each description's labels are found once: most processes have the very same one."""
        per_process = "process" in self._names
        filled: dict[tuple[int, str], Values] = {}
        groups: dict[Values, Group] = {}
        for each in reading.processes:
            process = each.process if per_process else ""
            for snapshot in each.pools if process or not per_process else ():
                key = id(snapshot.pool), process
                if key not in filled:
                    filled[key] = self._fill(snapshot, process)
                groups.setdefault(filled[key], []).append((each.process, snapshot))
        return groups

    def _fill(self, snapshot: Snapshot, process: str) -> Values:
        """Returns the values of all labels; those of its database if it is a configured one."""
        labels = {**app_labels(snapshot), "process": process}
        endpoint = read_endpoint(snapshot.pool)
        if endpoint and (probe := self._databases.get(endpoint)):
            labels = {**probe.labels, **labels, "database": probe.name}
        return tuple(fill_labels(labels, self._names).values())

    def _remember(self, found: Collection[Values]) -> None:
        self._known = dict.fromkeys(values for values in self._known if values in found)
        for values in found:
            if len(self._known) >= MAX_LABEL_SETS:
                break
            self._known[values] = None

    def _build_row(self, values: Values, group: Group) -> tuple[dict[str, str], Snapshot]:
        return dict(zip(self._names, values, strict=True)), merge_group(group)


def merge_group(group: Group) -> Snapshot:
    """Returns the sum of snapshots, of one process or of several, with how many these are."""
    merged = merge([snapshot for _, snapshot in group])
    processes = len({process for process, snapshot in group if snapshot.processes})
    waits = any(snapshot.pool.waits for _, snapshot in group)
    if waits != merged.pool.waits:
        merged = replace(merged, pool=replace(merged.pool, waits=waits))
    return merged if merged.processes == processes else replace(merged, processes=processes)


def read_endpoint(pool: PoolDescription) -> Endpoint | None:
    """Returns where a pool leads as it tells; several hosts stand in one text."""
    if "," not in pool.host:
        return build_endpoint(pool.dialect, [Host(pool.host, pool.port)], pool.database)
    hosts = [parse_host(part) for part in pool.host.split(",")]
    named = [Host(host.name, host.port or pool.port) for host in hosts if host]
    whole = len(named) == len(hosts)
    return build_endpoint(pool.dialect, named, pool.database) if whole else None
