"""GET /: a page for people who open the exporter's address.

It shows the databases from memory and the application's pools from the shared folder. It checks
nothing, and of the configuration it shows only that folder.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from html import escape
from pathlib import Path
from string import Template
from typing import Final, TypeAlias, TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from sqlalchemy_pool_exporter import read_version
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.service import Service, State
from sqlalchemy_pool_exporter.shared_files import AppReading
from sqlalchemy_pool_exporter.web.responses import PATHS, Row, read_service
from sqlalchemy_pool_exporter.web.status import rank_holder
from sqlalchemy_pool_metrics import Snapshot
from sqlalchemy_pool_metrics.layout import CHECKOUT_FAILURE_REASONS
from sqlalchemy_pool_metrics.snapshot import HolderNumbers, OverdueHold

MAX_ROWS: Final = 100
MAX_PROCESSES: Final = 3
MAX_HOLDERS: Final = 20
MAX_OVERDUE: Final = 20
REFRESH_SECONDS: Final = 10
# From this share of the attempts on, failures are red.
MANY_FAILURES: Final = 0.01
IN_USE_OF_MAX: Final = "In\xa0use\xa0/ max"

Labels: TypeAlias = Mapping[str, str]
# What could have a row in a table.
T = TypeVar("T")
# The column's title, the text, and its style.
Cell: TypeAlias = tuple[str, str, str]

PAGE: Final = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="$refresh_seconds">
<title>SQLAlchemy pool exporter</title>
<style>
:root { color-scheme: light dark; --text: #1b1f24; --quiet: #57606a; --line: #d0d7de;
  --page: #fff; --link: #0550ae; --up: #116329; --down: #a40e26; --warn: #7d4e00; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --quiet: #9da7b1; --line: #3d444d; --page: #0d1117; --link: #79c0ff;
    --up: #56d364; --down: #ff7b72; --warn: #e3b341; } }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: var(--text);
  background: var(--page); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { margin-top: 2rem; font-size: 1.125rem; } h3 { font-size: 1rem; }
p { color: var(--quiet); } a { color: var(--link); }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .375rem 1rem .375rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; overflow-wrap: anywhere; overflow: clip; font-weight: normal; }
thead th { color: var(--quiet); overflow-wrap: normal; }
.pools tbody th, .pools td { min-width: 4rem; }
.up { color: var(--up); } .warn { color: var(--warn); font-weight: 600; }
.down { color: var(--down); font-weight: 600; }
/* On a phone each row is a block, with the column's title before each value. */
@media (max-width: 60rem) {
  thead { position: absolute; clip-path: inset(50%); }
  table, tbody { display: block; }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  th, td { display: block; padding: .125rem 0; border: 0; overflow-wrap: break-word; }
  tbody th { font-weight: 600; }
  td:empty { display: none; }
  td[data-title] { display: grid; grid-template-columns: 7.5rem minmax(0, 1fr); gap: .5rem; }
  td[data-title]::before { content: attr(data-title); color: var(--quiet); font-weight: normal; }
}
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
<p>As the exporter's own connections find them.</p>
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
$holders
$overdue
<p>$folder</p>""")
TABLE: Final = Template("""\
<table class="pools">
<thead>
<tr>$titles</tr>
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
    rows = list(service.pool_sums.sum(reading))
    return build_app_pools(path, reading, rows, service.pool_sums.find_full_processes(reading))


def build_page(probes: Iterable[Probe], app_pools: str = "", warning: str = "") -> str:
    """Return the whole page, escaped, without the parts that would be empty."""
    # sorted() keeps the configured order of those that are up, and of those that are down.
    ranked = sorted(probes, key=lambda probe: probe.up or probe.last is None)
    rows = "\n".join(map(build_database_row, ranked))
    return PAGE.substitute(
        refresh_seconds=REFRESH_SECONDS,
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
        f'<tr><th scope="row">{name}</th>'
        f"{build_cell('State', state, state.split()[0])}{build_cell('Reason', reason)}</tr>"
    )


def build_path_row(path: str, meaning: str) -> str:
    """Return the row of one path, with a link if a browser can open it."""
    is_address = path.startswith("/") and "{" not in path
    shown = build_link(path, path) if is_address else escape(path)
    return f'<tr><th scope="row">{shown}</th><td>{escape(meaning)}</td></tr>'


def build_link(address: str, text: str) -> str:
    """Return a link relative to this page, so that it stays below a proxy's prefix."""
    return f'<a href="{escape(address.removeprefix("/") or "./")}">{escape(text)}</a>'


def build_app_pools(
    path: Path,
    reading: AppReading,
    rows: Sequence[Row],
    full: Mapping[tuple[str, ...], Sequence[int]],
) -> str:
    """Return a table with a row for each pool, if any, and what is in the folder.

    Args:
        path: the folder.
        reading: what is in it.
        rows: the sums.
        full: the ids of the processes in which a pool is full, by the values of its labels.
    """
    pools = build_table(
        sorted(rows, key=rank),
        lambda row: describe_pool(row, full.get(tuple(row[0].values()), ())),
        limit=MAX_ROWS,
        more_at="/metrics",
    )
    return APP_POOLS.substitute(
        pools=pools,
        holders=build_holders(rows),
        overdue=build_overdue(rows),
        folder=describe_folder(path, reading),
    )


def build_holders(rows: Sequence[Row]) -> str:
    """Return a table of the holders who have most connections; empty if none is known."""
    holders = [(labels, each) for labels, pool in rows if pool.processes for each in pool.holders]
    holders.sort(key=lambda each: rank_holder(each[1]))
    table = build_table(holders, describe_holder, limit=MAX_HOLDERS, more_at="/metrics")
    return f"<h3>Who holds the connections</h3>\n{table}" if table else ""


def build_overdue(rows: Sequence[Row]) -> str:
    """Return a table of the oldest connections that are overdue; empty if none is."""
    holds = [(labels, hold) for labels, pool in rows for hold in pool.overdue]
    holds.sort(key=lambda each: -each[1].age_ns)
    table = build_table(holds, describe_overdue, limit=MAX_OVERDUE, more_at="/api/v1/status")
    return f"<h3>Overdue connections</h3>\n{table}" if table else ""


def build_table(
    found: Sequence[T], describe: Callable[[T], Sequence[Cell]], *, limit: int, more_at: str
) -> str:
    """Return a table of the first ones found, and how many more there are; empty if none is.

    Args:
        found: what could have a row.
        describe: returns the cells of a row.
        limit: the most rows.
        more_at: the path that shows the others.
    """
    rows = [describe(each) for each in found[:limit]]
    if not rows:
        return ""
    titles = (f'<th scope="col">{escape(title)}</th>' for title, _, _ in rows[0])
    table = TABLE.substitute(titles="".join(titles), rows="\n".join(map(build_row, rows)))
    if more := len(found) - len(rows):
        table += f"\n<p>… and {more} more, see {build_link(more_at, more_at)}</p>"
    return table


def build_row(cells: Sequence[Cell]) -> str:
    """Return a row, whose first cell is its name."""
    (_, name, _), *others = cells
    built = "".join(build_cell(*cell) for cell in others)
    return f'<tr><th scope="row">{escape(name)}</th>{built}</tr>'


def build_cell(title: str, text: str, style: str = "") -> str:
    """Return a cell, with its column's title for narrow screens."""
    styled = f' class="{style}"' if style else ""
    return f'<td data-title="{escape(title)}"{styled}>{escape(text)}</td>'


def rank(row: Row) -> tuple[bool, bool, bool, str, str, str]:
    """Return a row's sort key: full pools come first, then failing ones; ended ones come last."""
    labels, pool = row
    _, style = describe_failures(pool)
    names = labels["application"], labels["pool"], labels["database"]
    return not pool.processes, not pool.saturated_processes, style != "down", *names


def describe_pool(row: Row, full: Sequence[int]) -> list[Cell]:
    """Return the cells of one pool; without processes, only its counters are shown.

    Args:
        row: the pool's labels and sum.
        full: the ids of the processes in which it is full.
    """
    labels, pool = row
    use = [("Processes", "ended", ""), (IN_USE_OF_MAX, "", ""), ("Waiting", "", "")]
    if pool.processes:
        use = describe_use(pool, full)
    return [
        ("Pool", labels["pool"], ""),
        ("Database", labels["database"], ""),
        ("Application", labels["application"], ""),
        *use,
        ("Failures so\xa0far", *describe_failures(pool)),
    ]


def describe_use(pool: Snapshot, full: Sequence[int]) -> list[Cell]:
    """Return the cells about a live pool's connections."""
    processes = f"{pool.processes}"
    if pool.saturated_processes:
        processes = f"{pool.saturated_processes} of {pool.processes} processes full"
        ids = ", ".join(map(str, full[:MAX_PROCESSES]))
        processes += f": {ids}{' …' if len(full) > MAX_PROCESSES else ''}"
    limit = "" if pool.max_connections is None else f" / {pool.max_connections}"
    style = "down" if pool.saturated_processes else ""
    waiting = f"{pool.pending_checkouts}" if pool.pool.waits else ""
    return [
        ("Processes", processes, style),
        (IN_USE_OF_MAX, f"{pool.checked_out}{limit}", style),
        ("Waiting", waiting, "warn" if pool.pending_checkouts else ""),
    ]


def describe_failures(pool: Snapshot) -> tuple[str, str]:
    """Return failures of every kind, and their style: red if they are many."""
    checkouts = {
        reason: pool.counter(f"checkout_failures_{reason}") for reason in CHECKOUT_FAILURE_REASONS
    }
    failed, unopened = sum(checkouts.values()), pool.connection_failures
    if not failed and not unopened:
        return "0", ""
    kinds = [f"{count} {reason}" for reason, count in checkouts.items() if count]
    kinds += [f"{unopened} failed to connect"] if unopened else []
    is_many = failed > MANY_FAILURES * (failed + pool.checkouts)
    return ", ".join(kinds), "down" if is_many else "warn"


def describe_holder(found: tuple[Labels, HolderNumbers]) -> list[Cell]:
    """Return the cells of one holder: how long it keeps a connection, and how busy that is."""
    labels, holder = found
    each = f"{holder.held_ns / holder.holds / 1e9:.3g} s" if holder.holds else ""
    busy = f"{holder.busy_ns / holder.held_ns:.0%}" if holder.held_ns else ""
    leaks = f", {holder.leaks} leaked" if holder.leaks else ""
    return [
        ("Pool", labels["pool"], ""),
        ("Application", labels["application"], ""),
        ("Holder", holder.name, ""),
        ("In\xa0use", f"{holder.connections}", ""),
        ("Checkouts so\xa0far", f"{holder.holds}{leaks}", "warn" if leaks else ""),
        ("Each", each, ""),
        ("Busy", busy, ""),
    ]


def describe_overdue(found: tuple[Labels, OverdueHold]) -> list[Cell]:
    """Return the cells of one connection: who has it, since when, where it was asked for."""
    labels, hold = found
    place = f"{hold.file}:{hold.line} {hold.function}" if hold.file else ""
    return [
        ("Pool", labels["pool"], ""),
        ("Application", labels["application"], ""),
        ("Holder", hold.holder or "unknown", ""),
        ("Age", str(timedelta(seconds=hold.age_ns // 10**9)), ""),
        ("Asked for in", place, ""),
        ("Process", f"{hold.process}", ""),
        ("Thread", f"{hold.thread or ''}", ""),
    ]


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
