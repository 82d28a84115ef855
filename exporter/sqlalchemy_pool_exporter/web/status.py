"""GET /api/v1/status: what the status page shows, as JSON in more detail. It checks nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from sqlalchemy_pool_exporter import read_version
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.service import Service
from sqlalchemy_pool_exporter.web.health import build_app_pool, build_health
from sqlalchemy_pool_exporter.web.responses import answer_json, read_service
from sqlalchemy_pool_metrics import Snapshot
from sqlalchemy_pool_metrics.snapshot import HolderNumbers, OverdueHold

# Of each pool.
MAX_PROCESSES: Final = 20
MAX_HOLDERS: Final = 20
MAX_OVERDUE: Final = 50

Status = dict[str, Any]


async def answer_status(request: Request) -> Response:
    """Answer with the status, 200 whatever it is."""
    return answer_json(build_status(read_service(request)))


def build_status(service: Service) -> Status:
    """Return the state of the exporter, its databases and the application's pools."""
    path = service.shared_folder.path
    return {
        "version": read_version(),
        "state": service.state,
        "last_reload_successful": service.reload_status.is_successful,
        "databases": {
            probe.name: build_database(probe) for probe in service.probes.probes.values()
        },
        **({"app": build_app(service, path)} if path else {}),
    }


def build_database(probe: Probe) -> Status:
    """Return the health of a database as its last probe found it."""
    if probe.last is None:
        return {"name": probe.name, "status": "not probed yet"}
    return build_health(probe, probe.last, ())


def build_app(service: Service, path: Path) -> Status:
    """Return the folder, its files by state, and the sums of the application's pools."""
    reading = service.shared_folder.read()
    full = service.pool_sums.find_full_processes(reading)
    return {
        "dir": str(path),
        "files": reading.files,
        **({"problem": reading.problem} if reading.problem else {}),
        "leak_threshold_seconds": service.shared_folder.leak_threshold,
        "pools": [
            build_pool(labels, pool, full.get(tuple(labels.values()), ()))
            for labels, pool in service.pool_sums.sum(reading)
        ],
    }


def build_pool(labels: Mapping[str, str], pool: Snapshot, full: Sequence[int]) -> Status:
    """Return a pool of the application with its database, who holds it, and what is overdue.

    Args:
        labels: the pool's labels.
        pool: its sum.
        full: the ids of the processes in which it is full.
    """
    holders = sorted(pool.holders, key=rank_holder)[:MAX_HOLDERS]
    return {
        "database": labels["database"],
        **build_app_pool(labels, pool),
        "saturated_process_ids": full[:MAX_PROCESSES],
        **({"holders": [build_holder(each) for each in holders]} if holders else {}),
        "leaked_connections": pool.counter("leaked_connections"),
        "overdue_connections": len(pool.overdue),
        "oldest_overdue": [build_overdue(hold) for hold in pool.overdue[:MAX_OVERDUE]],
    }


def rank_holder(holder: HolderNumbers) -> tuple[int, int, int, str]:
    """Return a holder's sort key: those with most connections now come first, then leaking ones."""
    return -holder.connections, -holder.leaks, -holder.held_ns, holder.name


def build_holder(holder: HolderNumbers) -> Status:
    """Return what a holder has, and what it has had so far."""
    return {
        "holder": holder.name,
        "connections": holder.connections,
        "checkouts": holder.holds,
        "leaks": holder.leaks,
        "held_seconds": round(holder.held_ns / 1e9, 3),
        "held_busy_seconds": round(holder.busy_ns / 1e9, 3),
    }


def build_overdue(hold: OverdueHold) -> Status:
    """Return who has a connection, since when, and where it was asked for; null for unknown."""
    return {
        "holder": hold.holder or None,
        "age_seconds": round(hold.age_ns / 1e9, 1),
        "file": hold.file or None,
        "line": hold.line or None,
        "function": hold.function or None,
        "process": hold.process,
        "thread": hold.thread or None,
    }
