"""The cost of GET /metrics with many pools, and of prometheus_client with its own metrics.

    python -m benchmarks.scrape [--pools 100] [--rounds N]

Requests reach the application without a network; it reads the pools from shared files. The peer
renders as many lines of the same families from its own metrics.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import Metric
from starlette.applications import Starlette

from benchmarks.tables import print_table
from sqlalchemy_pool_exporter.settings import Settings
from sqlalchemy_pool_exporter.web.app import create_app
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.process_file import ProcessFile
from sqlalchemy_pool_metrics.prometheus import POOL_LABELS, app_labels, build_families
from sqlalchemy_pool_metrics.snapshot import PoolDescription, Snapshot


def main(arguments: Sequence[str]) -> int:
    """Print a table of milliseconds."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        peer = build_peer(share_pools(Path(folder), options.pools))
        lines = generate_latest(peer).count(b"\n")
        ours, ours_lines = asyncio.run(scrape(build_app(Path(folder)), options.rounds))
    rows = [
        ["prometheus_client's generate_latest", f"{lines}", f"{render(peer, options.rounds):.2f}"],
        ["ours, GET /metrics", f"{ours_lines}", f"{ours:.2f}"],
    ]
    print_table(f"Showing {options.pools} pools", ["what", "lines", "ms"], rows)
    return 0


def share_pools(folder: Path, count: int) -> list[Snapshot]:
    """Write pools of an application after a little work, into as many files as necessary."""
    file, pools = create_file(folder), []
    for number in range(count):
        block, buffer = build_block(number), file.take()
        if buffer is None:
            file = create_file(folder)
            buffer = file.take()
        assert buffer is not None
        block.move(buffer)
        file.publish(buffer)
        pools.append(block.read())
    return pools


def create_file(folder: Path) -> ProcessFile:
    """Create the file of a process, which counts as alive while this process runs."""
    return ProcessFile.create(folder, "shop", {}, lambda: None)


def build_block(number: int) -> Block:
    """Return the block of a pool that was used once."""
    description = PoolDescription(
        name=f"pool-{number}", application="shop", size=5, max_connections=15, waits=True
    )
    block, now_ns = Block(description), time.monotonic_ns()
    with block.lock:
        block.record_open(2_000_000)
        block.record_return(block.record_checkout(50_000, now_ns), now_ns, now_ns + 3_000_000)
    return block


def build_app(folder: Path) -> Starlette:
    """Return an exporter with an application's pools and no database."""
    return create_app(Settings.model_validate({"databases": {}, "app": {"dir": str(folder)}}))


def build_peer(pools: Sequence[Snapshot]) -> CollectorRegistry:
    """Return metrics of prometheus_client with our names, labels and samples."""
    # A line more for each counter and histogram, which ours do not have.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    for family in build_families([(app_labels(pool), pool) for pool in pools], POOL_LABELS):
        if not family.samples:
            continue
        names = [name for name in family.samples[0].labels if name != "le"]
        metric = _build_metric(family, names, registry)
        for labels in {tuple(s.labels[name] for name in names) for s in family.samples}:
            metric.labels(*labels)
    return registry


def _build_metric(family: Metric, names: list[str], registry: CollectorRegistry) -> Any:
    if family.type == "histogram":
        bounds = [float(s.labels["le"]) for s in family.samples if "le" in s.labels]
        bounds = sorted(set(bounds))
        return Histogram(
            family.name, family.documentation, names, registry=registry, buckets=bounds
        )
    kind = Counter if family.type == "counter" else Gauge
    return kind(family.name, family.documentation, names, registry=registry)


def render(registry: CollectorRegistry, rounds: int) -> float:
    """Return the median milliseconds of rendering the peer's text."""
    spent_ns = []
    for _ in range(rounds):
        began_ns = time.process_time_ns()
        generate_latest(registry)
        spent_ns.append(time.process_time_ns() - began_ns)
    return median(spent_ns) / 1e6


async def scrape(app: Starlette, rounds: int) -> tuple[float, int]:
    """Return the median milliseconds of a scrape, and its lines about pools."""
    transport = httpx.ASGITransport(app)
    spent_ns = []
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://exporter") as client,
    ):
        for _ in range(rounds):
            began_ns = time.process_time_ns()
            response = await client.get("/metrics", headers={"Accept-Encoding": "identity"})
            spent_ns.append(time.process_time_ns() - began_ns)
    text = response.raise_for_status().text
    return median(spent_ns) / 1e6, sum("sqlalchemy_pool_" in line for line in text.splitlines())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pools", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
