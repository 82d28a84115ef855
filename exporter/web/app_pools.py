"""The landing page's part about the application's own pools.

It knows how to show sums and states, not where they come from. Every name in them is untrusted.
"""

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Final, TypeAlias

from exporter.app_pools import AppReading
from sqlalchemy_pool_metrics import Snapshot

MAX_ROWS: Final = 100

PART: Final = Template("""\
<h2>Pools of the application</h2>
$pools
<p>$folder</p>""")
POOLS: Final = Template("""\
<table class="pools">
<thead>
<tr><th scope="col">Pool</th><th scope="col">Database</th><th scope="col">Application</th>
<th scope="col">Processes</th><th scope="col">In&nbsp;use&nbsp;/ max</th>
<th scope="col">Waiting</th><th scope="col">Timeouts so&nbsp;far</th></tr>
</thead>
<tbody>
$rows
</tbody>
</table>""")

# The labels of a sum, and the sum.
Row: TypeAlias = tuple[Mapping[str, str], Snapshot]


def build_app_pools(path: Path, reading: AppReading, rows: Sequence[Row]) -> str:
    """Returns a table with a row for each pool, if there is one, and what is in the folder."""
    shown = sorted(rows, key=find_place)[:MAX_ROWS]
    table = POOLS.substitute(rows="\n".join(map(build_pool, shown))) if shown else ""
    if more := len(rows) - len(shown):
        table += f'\n<p>… and {more} more, see <a href="metrics">/metrics</a></p>'
    return PART.substitute(pools=table, folder=describe_folder(path, reading, bool(rows)))


def find_place(row: Row) -> tuple[bool, str, str, str]:
    """Returns where a row stands: pools that are in use come first."""
    labels, pool = row
    return not pool.processes, labels["application"], labels["pool"], labels["database"]


def build_pool(row: Row) -> str:
    """Returns one pool; of one that no process has any more only what it counted."""
    labels, pool = row
    processes, in_use, waiting = "ended", "", ""
    if pool.processes:
        processes, in_use = f"{pool.processes}", f"{pool.checked_out}"
        if pool.max_connections is not None:
            in_use += f" / {pool.max_connections}"
        if pool.pool.waits:
            waiting = f"{pool.pending_checkouts}"
    timeouts = f"{pool.counter('checkout_failures_timeout')}"
    cells = (labels["database"], labels["application"], processes, in_use, waiting, timeouts)
    name = f'<th scope="row">{escape(labels["pool"])}</th>'
    return f"<tr>{name}{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def describe_folder(path: Path, reading: AppReading, has_pools: bool) -> str:
    """Returns the line about the folder: its files by state, or why there are none."""
    # A path need not be text.
    folder = f"<bdi>{escape(os.fsencode(path).decode(errors='replace'))}</bdi>"
    if reading.problem:
        return f"{folder} cannot be read: {escape(reading.problem)}."
    if not has_pools and not any(reading.files.values()):
        return f"{folder}: no process has written here yet; see SQLALCHEMY_POOL_METRICS_DIR."
    states = ", ".join(f"{count} {state}" for state, count in reading.files.items())
    return f"Files in {folder}: {states}."
