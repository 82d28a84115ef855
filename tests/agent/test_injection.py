"""The folder on PYTHONPATH records every engine of a supported SQLAlchemy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sqlalchemy_pool_metrics.injection import is_supported
from tests.agent.injected_programs import (
    AGENT,
    CREATE,
    RECORDED,
    USE,
    find_packages,
    make_folder,
    run,
    run_well,
    write,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "injected")


@pytest.mark.parametrize(
    "create",
    [
        CREATE,
        "import sqlalchemy\nengine = sqlalchemy.create_engine('sqlite://')",
        "import sqlalchemy.engine.create as c\nengine = c.create_engine('sqlite://')",
        "from sqlalchemy.engine import engine_from_config as f\n"
        "engine = f({'sqlalchemy.url': 'sqlite://'})",
        "import sqlalchemy.orm, sqlalchemy\nengine = sqlalchemy.create_engine('sqlite://')",
        "from sqlalchemy.pool import NullPool\n"
        "from sqlalchemy import create_engine\n"
        "engine = create_engine('sqlite://', poolclass=NullPool)",
        "from sqlalchemy.pool import QueuePool\nimport sqlite3\n"
        "from sqlalchemy import create_engine\n"
        "engine = create_engine('sqlite://', pool=QueuePool(lambda: sqlite3.connect(':memory:')))",
        CREATE + "import importlib, sqlalchemy\nimportlib.reload(sqlalchemy)\n"
        "engine = sqlalchemy.create_engine('sqlite://')",
    ],
)
def test_every_way_to_an_engine_is_recorded(folder: Path, create: str) -> None:
    assert run_well("-c", create + "\n" + USE, path=[folder]) == RECORDED


@pytest.mark.parametrize(
    "create",
    [
        "create_async_engine('sqlite+aiosqlite://')",
        "async_engine_from_config({'sqlalchemy.url': 'sqlite+aiosqlite://'})",
    ],
)
def test_an_async_engine_is_recorded_when_its_module_is_imported_first(
    folder: Path, create: str
) -> None:
    program = f"""
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.ext.asyncio.engine import async_engine_from_config
import asyncio
from sqlalchemy_pool_metrics import read_pool
async def use():
    engine = {create}
    async with engine.connect(): pass
    print(read_pool(engine).checkouts)
    await engine.dispose()
asyncio.run(use())
"""
    assert run_well("-c", program, path=[folder]) == "1"


def test_a_pool_made_from_a_url_is_recorded(folder: Path) -> None:
    program = """
from sqlalchemy import create_pool_from_url
pool = create_pool_from_url("sqlite:///:memory:")
pool.connect().close()
from sqlalchemy_pool_metrics import read_pools
print([read.checkouts for read in read_pools()])
"""
    assert run_well("-c", program, path=[folder]) == "[1]"


def test_an_engine_instrumented_in_several_ways_counts_once_under_the_given_name(
    folder: Path,
) -> None:
    program = """
from sqlalchemy import create_engine
from sqlalchemy_pool_metrics import instrument, read_pool
engine = instrument(create_engine("sqlite://?plugin=pool_metrics&pool_name=primary"))
with engine.connect(): pass
print(read_pool(engine).pool.name, read_pool(engine).checkouts)
"""
    assert run_well("-c", program, path=[folder]) == "primary 1"


def test_the_plugin_is_registered_without_an_installed_package(folder: Path) -> None:
    program = """
import importlib.metadata
importlib.metadata.entry_points = lambda **selection: ()
from sqlalchemy import create_engine
engine = create_engine("sqlite://?plugin=pool_metrics&pool_name=primary")
from sqlalchemy_pool_metrics import read_pool
print(read_pool(engine).pool.name)
"""
    assert run_well("-c", program, path=[folder]) == "primary"


def test_a_driver_argument_called_pool_name_is_left_to_the_driver(folder: Path) -> None:
    program = """
from sqlalchemy import create_engine
print(create_engine("mysql+pymysql://db/shop?pool_name=drivers").url.query["pool_name"])
"""
    assert run_well("-c", program, path=[folder]) == "drivers"


def test_create_engine_is_unchanged(folder: Path) -> None:
    program = """
import hashlib, inspect, pickle
import sqlalchemy, sqlalchemy.engine.create as c
from sqlalchemy.ext.asyncio import create_async_engine
for function in (sqlalchemy.create_engine, create_async_engine, sqlalchemy.create_pool_from_url):
    assert pickle.loads(pickle.dumps(function)) is function
    print(function.__module__, function.__qualname__, inspect.signature(function))
    print(hashlib.sha256(function.__code__.co_code).hexdigest(), len(function.__doc__))
assert sqlalchemy.create_engine is c.create_engine
print(inspect.signature(sqlalchemy.URL._instantiate_plugins))
url = sqlalchemy.make_url("sqlite:///shop.db")
assert pickle.loads(pickle.dumps(url)) == url
"""
    with_folder = run_well("-c", program, path=[folder])

    assert with_folder == run_well("-c", program, path=[])


def test_importing_sqlalchemy_imports_only_the_injection(folder: Path) -> None:
    program = """
import sys, sqlalchemy
print(*sorted(name for name in sys.modules if name.startswith("sqlalchemy_pool_metrics")))
"""
    imported = run_well("-c", program, path=[folder])

    assert imported.split() == [
        "sqlalchemy_pool_metrics",
        "sqlalchemy_pool_metrics.faults",
        "sqlalchemy_pool_metrics.injection",
    ]


@pytest.mark.parametrize(
    ("version", "is_recorded"),
    [
        ("1.4.54", False),
        ("2.0.35", False),
        ("2.0.36", True),
        ("2.1.0b1", True),
        ("2.1.40", True),
        ("2.2.0b1", False),
        ("3.0", False),
        ("", False),
    ],
)
def test_only_known_versions_are_supported(version: str, is_recorded: bool) -> None:
    assert is_supported(version) is is_recorded


def test_an_unknown_version_of_sqlalchemy_is_left_alone_with_one_line(folder: Path) -> None:
    program = """
import sqlalchemy; sqlalchemy.__version__ = "2.2.0"
for _ in range(3): engine = sqlalchemy.create_engine("sqlite://")
engine.connect().close()
print(type(engine.pool).__mro__[1].__name__)
"""
    ended = run("-c", program, path=[folder])

    assert (ended.returncode, ended.stdout.strip()) == (0, "Pool")
    assert ended.stderr.splitlines() == [
        "the pools of SQLAlchemy 2.2.0 are not recorded: 2.0.36 or newer is needed, older than 2.2"
    ]


def test_sqlalchemy_1_4_is_left_alone_with_one_line(folder: Path) -> None:
    version = "{}.{}".format(*sys.version_info)
    packages = find_packages(sys.executable, version, "sqlalchemy>=1.4.54,<2")
    program = CREATE + "engine.connect().close()\nprint(type(engine.pool).__mro__[1].__name__)"
    ended = run("-c", program, path=[folder, packages])

    assert (ended.returncode, ended.stdout.strip()) == (0, "Pool")
    assert len(ended.stderr.splitlines()) == 1
    assert "the pools of SQLAlchemy 1.4." in ended.stderr


@pytest.mark.parametrize(
    ("module", "content"),
    [
        ("__init__", "raise ValueError('broken')"),
        ("injection", "raise ValueError('broken')"),
        ("injection", "def attach(url_module): url_module.URL.no_such"),
    ],
)
def test_a_fault_during_the_import_of_sqlalchemy_logs_one_line_and_its_traceback(
    tmp_path: Path, module: str, content: str
) -> None:
    (tmp_path / "sitecustomize.py").symlink_to(AGENT / "injected" / "sitecustomize.py")
    for name in ("__init__", module):
        write(
            tmp_path / "sqlalchemy_pool_metrics" / f"{name}.py", "" if name != module else content
        )
    program = CREATE + "engine.connect().close(); print('fine')"
    ended = run("-c", program, path=[tmp_path], measured=False)

    assert ended.stdout.strip() == "fine"
    assert ended.stderr.count("SQLAlchemy's pools are not recorded") == 1
    assert ended.stderr.count("Traceback") == 1


@pytest.mark.parametrize(
    "break_it",
    [
        "sys.modules['sqlalchemy_pool_metrics.plugin'] = None",
        "del sqlalchemy.__version__",
        "sqlalchemy.dialects.plugins = None",
    ],
)
def test_a_fault_during_the_creation_of_engines_logs_one_line_and_its_traceback(
    folder: Path, break_it: str
) -> None:
    program = f"import sys, sqlalchemy\n{break_it}\n"
    program += "for _ in range(3): sqlalchemy.create_engine('sqlite://').connect().close()\n"
    ended = run("-c", program + "print('fine')", path=[folder])

    assert ended.stdout.strip() == "fine"
    assert ended.stderr.count("Traceback") == 1
