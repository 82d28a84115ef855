"""GET /: a page for people who open the exporter's address.

It shows the databases from memory and the application's pools from the shared folder. It checks
nothing, and of the configuration it shows only that folder.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Final, TypeAlias
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from sqlalchemy_pool_exporter import read_version
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.service import Service, State
from sqlalchemy_pool_exporter.shared_files import AppReading
from sqlalchemy_pool_exporter.web.responses import PATHS, read_service
from sqlalchemy_pool_metrics import Snapshot

MAX_ROWS: Final = 100
# The labels of a sum, and the sum.
Row: TypeAlias = tuple[Mapping[str, str], Snapshot]

PAGE: Final = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SQLAlchemy pool exporter</title>
<style>
:root { color-scheme: light dark; --text: #1b1f24; --quiet: #57606a; --line: #d0d7de;
  --page: #fff; --link: #0550ae; --up: #116329; --down: #a40e26; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --quiet: #9da7b1; --line: #3d444d; --page: #0d1117; --link: #79c0ff;
    --up: #56d364; --down: #ff7b72; } }
body { max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: var(--text);
  background: var(--page); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { margin-top: 2rem; font-size: 1.125rem; }
p { color: var(--quiet); } a { color: var(--link); }
table { width: 100%; border-collapse: collapse; } caption { text-align: left; }
th, td { padding: .375rem 1rem .375rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; overflow-wrap: anywhere; font-weight: normal; }
thead th { color: var(--quiet); overflow-wrap: normal; }
.pools :is(th, td) { overflow: clip; } .pools tbody th { min-width: 6rem; }
.pools td:nth-child(n + 4) { white-space: nowrap; }
.up { color: var(--up); } .down { color: var(--down); }
</style>
</head>
<body>
<main>
<h1>SQLAlchemy pool exporter</h1>
<p>Version $version</p>
$warning
$databases
$app_pools
<h2>Addresses</h2>
<table>
<thead><tr><th scope="col">Path</th><th scope="col">What it answers</th></tr></thead>
<tbody>
$paths
</tbody>
</table>
</main>
</body>
</html>
""")
DATABASES: Final = Template("""\
<h2>Databases</h2>
<table>
<thead>
<tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Reason</th></tr>
</thead>
<tbody>
$rows
</tbody>
</table>""")
APP_POOLS: Final = Template("""\
<h2>Pools of the application</h2>
$pools
<p>$folder</p>""")
POOL_TABLE: Final = Template("""\
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

WARNING: Final = """\
<p class="down">The configuration could not be reloaded: an earlier one is in use, the log says why.
</p>"""
WAITING: Final = """\
<p class="down">The configuration cannot be used, and no database is probed: the log says why.
</p>"""


async def answer_status_page(request: Request) -> Response:
    """Answer with the page, 200 whatever the state of the databases."""
    service = read_service(request)
    probes = service.probes.probes.values()
    return HTMLResponse(build_page(probes, read_app_pools(service), choose_warning(service)))


def choose_warning(service: Service) -> str:
    """Return a warning unless the configuration is in use as it stands."""
    if service.state is State.WAITING:
        return WAITING
    return "" if service.reload_status.is_successful else WARNING


def read_app_pools(service: Service) -> str:
    """Return the part about the application's pools; empty without a shared folder."""
    path = service.shared_folder.path
    if path is None:
        return ""
    reading = service.shared_folder.read()
    return build_app_pools(path, reading, list(service.pool_sums.sum(reading)))


def build_page(probes: Iterable[Probe], app_pools: str = "", warning: str = "") -> str:
    """Return the whole page, escaped, without the parts that would be empty."""
    rows = "\n".join(map(build_database_row, probes))
    return PAGE.substitute(
        version=escape(read_version()),
        warning=warning,
        databases=DATABASES.substitute(rows=rows) if rows else "",
        app_pools=app_pools,
        paths="\n".join(build_path_row(path, meaning) for path, meaning in PATHS.items()),
    )


def build_database_row(probe: Probe) -> str:
    """Return the row of one database: its name, its state, and why it is down."""
    state = "not probed yet" if probe.last is None else "up" if probe.up else "down"
    failure = probe.last.failure if probe.last else None
    reason = f"{failure.reason}: {failure.message}" if failure else ""
    name = build_link(f"/health/db/{quote(probe.name, safe='')}", probe.name)
    return (
        f'<tr><th scope="row">{name}</th><td class="{state.split()[0]}">{state}</td>'
        f"<td>{escape(reason)}</td></tr>"
    )


def build_path_row(path: str, meaning: str) -> str:
    """Return the row of one path, with a link if a browser can open it."""
    is_address = path.startswith("/") and "{" not in path
    shown = build_link(path, path) if is_address else escape(path)
    return f'<tr><th scope="row">{shown}</th><td>{escape(meaning)}</td></tr>'


def build_link(address: str, text: str) -> str:
    """Return a link relative to this page, so that it stays below a proxy's prefix."""
    return f'<a href="{escape(address.removeprefix("/") or "./")}">{escape(text)}</a>'


def build_app_pools(path: Path, reading: AppReading, rows: Sequence[Row]) -> str:
    """Return a table with a row for each pool, if any, and what is in the folder."""
    shown = sorted(rows, key=rank)[:MAX_ROWS]
    table = POOL_TABLE.substitute(rows="\n".join(map(build_pool_row, shown))) if shown else ""
    if more := len(rows) - len(shown):
        table += f'\n<p>… and {more} more, see <a href="metrics">/metrics</a></p>'
    return APP_POOLS.substitute(pools=table, folder=describe_folder(path, reading))


def rank(row: Row) -> tuple[bool, str, str, str]:
    """Return a row's sort key: pools that have processes come first."""
    labels, pool = row
    return not pool.processes, labels["application"], labels["pool"], labels["database"]


def build_pool_row(row: Row) -> str:
    """Return the row of one pool; without processes, only its counters are shown."""
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


def describe_folder(path: Path, reading: AppReading) -> str:
    """Return the line about the folder: its files by state, or why there are none."""
    # A path need not be valid UTF-8.
    folder = f"<bdi>{escape(str(path))}</bdi>"
    if reading.problem:
        return f"{folder} cannot be read: {escape(reading.problem)}."
    if reading.is_empty:
        return (
            f"{folder}: no process has written here yet. A process does at its first query; if none"
            " appears, see SQLALCHEMY_POOL_METRICS_DIR and docs/application.md."
        )
    states = ", ".join(f"{count} {state}" for state, count in reading.files.items())
    return f"Files in {folder}: {states}."
