"""The folder on PYTHONPATH: it records every engine, and changes nothing else of a Python."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipapp
import zipfile
from pathlib import Path

import pytest

from sqlalchemy_pool_metrics.injection import is_supported
from tests.agent.injected_programs import (
    AGENT,
    BASE_PYTHON,
    find_packages,
    find_python,
    make_folder,
    run,
    run_well,
)

USE = """
from sqlalchemy_pool_metrics import read_pool
with engine.connect(): pass
print(engine.pool.__class__.__mro__[1].__name__, read_pool(engine).checkouts)
"""
RECORDED = "RecordsMetrics 1"
CREATE = "from sqlalchemy import create_engine\nengine = create_engine('sqlite://')\n"

STATE = """
import gc, json, os, signal, sys, threading
print(json.dumps([
    sorted(sys.modules),
    sorted(os.listdir("/proc/self/fd")),
    [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    threading.active_count(),
    [entry for entry in sys.path if entry not in os.environ["PYTHONPATH"].split(os.pathsep)],
    [hook.__qualname__ for hook in sys.path_hooks],
    len(sys.meta_path) - len([f for f in sys.meta_path if hasattr(f, "watches_sqlalchemy")]),
    str(sys.excepthook),
    sorted(name for name in os.environ if name != "PYTHONPATH"),
]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "injected")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path.parent


def tell(who: str) -> str:
    return f"import sys; print({who!r}, file=sys.stderr)\n"


# Engines


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


def test_an_engine_switched_on_in_several_ways_counts_once_under_the_name_given(
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


def test_the_plugin_is_known_where_the_package_is_not_installed(folder: Path) -> None:
    program = """
import importlib.metadata
importlib.metadata.entry_points = lambda **selection: ()
from sqlalchemy import create_engine
engine = create_engine("sqlite://?plugin=pool_metrics&pool_name=primary")
from sqlalchemy_pool_metrics import read_pool
print(read_pool(engine).pool.name)
"""
    assert run_well("-c", program, path=[folder]) == "primary"


def test_an_argument_of_the_driver_called_pool_name_stays_the_drivers(folder: Path) -> None:
    program = """
from sqlalchemy import create_engine
print(create_engine("mysql+pymysql://db/shop?pool_name=drivers").url.query["pool_name"])
"""
    assert run_well("-c", program, path=[folder]) == "drivers"


# What stays as it is


def test_create_engine_stays_what_it_is(folder: Path) -> None:
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


def test_a_process_without_sqlalchemy_differs_by_sitecustomize_alone(folder: Path) -> None:
    def read_state(path: list[Path]) -> str:
        ended = run("-c", STATE, path=path, measured=False)
        assert ended.stderr == ""
        return ended.stdout

    nothing = write(folder.parent / "nothing" / "sitecustomize.py", "")

    assert read_state([folder]) == read_state([nothing])


def test_the_watcher_goes_when_sqlalchemy_has_come(folder: Path) -> None:
    program = "import sys; f = sys.meta_path[0]; import sqlalchemy; print(f in sys.meta_path)"

    assert run_well("-c", program, path=[folder]) == "False"


def test_importing_sqlalchemy_imports_no_more_than_the_injection(folder: Path) -> None:
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


def test_sqlalchemy_that_is_missing_fails_as_ever(folder: Path) -> None:
    broken = write(folder.parent / "broken" / "sqlalchemy" / "__init__.py", "import no_such").parent
    for shadow in ([], [broken]):
        plain = run("-c", "import sqlalchemy", path=shadow, python=BASE_PYTHON)
        ended = run("-c", "import sqlalchemy", path=[folder, *shadow], python=BASE_PYTHON)

        assert "ModuleNotFoundError" in plain.stderr
        assert (ended.returncode, ended.stderr) == (plain.returncode, plain.stderr)


def test_looking_for_sqlalchemy_without_importing_it_changes_nothing(folder: Path) -> None:
    program = """
import importlib.util
spec = importlib.util.find_spec("sqlalchemy")
assert type(spec.loader).__name__ == "SourceFileLoader"
"""
    assert run_well("-c", program + CREATE + USE, path=[folder]) == RECORDED


def test_other_import_hooks_see_sqlalchemy_as_before(folder: Path) -> None:
    program = """
import sys
seen = []
class Hook:
    def find_spec(self, name, path=None, target=None):
        seen.append(name)
sys.meta_path.insert(1, Hook())
import sqlalchemy
found = [name for name in sys.modules if name.startswith("sqlalchemy.")]
assert set(found) <= set(seen), set(found) - set(seen)
"""
    assert run_well("-c", program + CREATE + USE, path=[folder]) == RECORDED


def test_several_threads_import_sqlalchemy_at_once(folder: Path) -> None:
    program = """
import threading
start, engines = threading.Barrier(4), []
def create():
    start.wait()
    from sqlalchemy import create_engine
    from sqlalchemy_pool_metrics import read_pool
    engine = create_engine("sqlite://")
    engine.connect().close()
    engines.append(read_pool(engine).checkouts)
threads = [threading.Thread(target=create) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(engines)
"""
    for _ in range(3):
        assert run_well("-c", program, path=[folder]) == "[1, 1, 1, 1]"


def test_import_times_can_be_told(folder: Path) -> None:
    ended = run("-X", "importtime", "-c", CREATE + USE, path=[folder])

    assert ended.stdout.strip() == RECORDED
    assert "sqlalchemy.engine.url" in ended.stderr


@pytest.mark.parametrize("flag", ["-S", "-I", "-E"])
def test_a_python_told_to_ignore_its_surroundings_ignores_the_folder(
    folder: Path, flag: str
) -> None:
    program = "import sys; print('sitecustomize' in sys.modules)"

    assert run_well(flag, "-c", program, path=[folder], python=BASE_PYTHON) == "False"


# Ways to start


def test_a_script_a_module_and_a_zip_application_are_recorded(folder: Path) -> None:
    source = write(folder.parent / "shop" / "__main__.py", CREATE + USE)
    write(source / "shop_module.py", CREATE + USE)
    zipapp.create_archive(source, folder.parent / "shop.pyz")

    assert run_well(source / "shop_module.py", path=[folder]) == RECORDED
    assert run_well("-m", "shop_module", path=[folder, source]) == RECORDED
    assert run_well(folder.parent / "shop.pyz", path=[folder]) == RECORDED


def test_a_program_started_by_a_program_is_recorded(folder: Path) -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"

    assert run_well("-c", program, CREATE + USE, path=[folder]) == RECORDED


def test_tests_under_pytest_are_recorded(folder: Path) -> None:
    test = f"{CREATE}from sqlalchemy_pool_metrics import read_pool\n"
    test += "def test_it():\n    assert read_pool(engine).pool.dialect == 'sqlite'\n"
    tests = write(folder.parent / "suite" / "test_shop.py", test)
    ended = run("-m", "pytest", "-q", "--rootdir", tests, tests, path=[folder])

    assert "1 passed" in ended.stdout


def test_a_virtual_environment_and_its_own_sitecustomize_work(folder: Path) -> None:
    venv.create(folder.parent / "venv", with_pip=False, symlinks=True)
    (packages,) = (folder.parent / "venv" / "lib").glob("python*/site-packages")
    write(packages / "sitecustomize.py", "print('own')")
    write(packages / "site.pth", "\n".join(p for p in sys.path if p.endswith("site-packages")))
    python = str(folder.parent / "venv" / "bin" / "python")

    assert run_well("-c", CREATE + USE, path=[folder], python=python) == f"own\n{RECORDED}"


# Another sitecustomize


def test_another_sitecustomize_runs_and_is_the_one_that_is_known(folder: Path) -> None:
    other = write(folder.parent / "other" / "sitecustomize.py", "print('other'); mark = 1")
    program = "import sys, sitecustomize; print(sitecustomize.mark, sys.path[1:3])"

    assert run_well("-c", program, path=[folder, other]) == f"other\n1 {[str(folder), str(other)]}"
    assert run_well("-c", CREATE + USE, path=[folder, other]) == f"other\n{RECORDED}"
    assert run_well("-c", program, path=[other, folder]).startswith("other\n1")


def test_a_sitecustomize_in_a_zip_file_runs(folder: Path) -> None:
    with zipfile.ZipFile(folder.parent / "other.zip", "w") as archive:
        archive.writestr("sitecustomize.py", "print('zipped')")

    output = run_well("-c", CREATE + USE, path=[folder, folder.parent / "other.zip"])

    assert output == f"zipped\n{RECORDED}"


def test_a_folder_in_a_zip_file_works(folder: Path) -> None:
    archive = folder.parent / "agent.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(folder / "sitecustomize.py", "sitecustomize.py")
        for file in AGENT.glob("*.py"):
            packed.write(file, f"sqlalchemy_pool_metrics/{file.name}")

    assert run_well("-c", CREATE + USE, path=[archive], measured=False) == RECORDED


def test_usercustomize_runs_as_ever(folder: Path) -> None:
    other = write(folder.parent / "other" / "usercustomize.py", "print('user')")

    assert run_well("-c", "pass", path=[folder, other], python=BASE_PYTHON) == "user"


@pytest.mark.parametrize(
    "content",
    [
        "raise ValueError('broken')",
        "import no_such_module",
        "import sys; sys.exit(3)",
        "this is no Python",
        "raise ImportError('broken', name='sitecustomize')",
    ],
)
def test_a_broken_sitecustomize_fails_as_ever(folder: Path, content: str) -> None:
    other = write(folder.parent / "other" / "sitecustomize.py", content)
    program = "import sys; print('sitecustomize' in sys.modules)"
    plain = run("-c", program, path=[other], measured=False)
    ended = run("-c", program, path=[folder, other], measured=False)
    engine = run("-c", CREATE + USE, path=[folder, other])

    own_frames = re.compile(rf'  File "{folder}/.*\n    .*\n')  # shown where Python cannot start
    assert (ended.returncode, own_frames.sub("", ended.stderr)) == (plain.returncode, plain.stderr)
    assert plain.returncode or engine.stdout.strip() == RECORDED


def test_a_sitecustomize_that_changes_the_path_keeps_its_change(folder: Path) -> None:
    change = "import sys; sys.path.insert(0, '/first'); sys.path.append('/last')"
    other = write(folder.parent / "other" / "sitecustomize.py", change)
    program = "import sys; print(sys.path[1:4], sys.path[-1])"

    path = run_well("-c", program, path=[folder, other])
    assert path == f"{['/first', str(folder), str(other)]} /last"


def test_a_sitecustomize_that_imports_sqlalchemy_does_not_lose_the_recording(folder: Path) -> None:
    other = write(folder.parent / "other" / "sitecustomize.py", "import sqlalchemy")

    assert run_well("-c", CREATE + USE, path=[folder, other]) == RECORDED


def test_two_folders_and_two_names_of_one_folder_record_once(folder: Path) -> None:
    second = make_folder(folder.parent / "second")
    (folder.parent / "alias").symlink_to(folder)
    path = [folder, folder.parent / "alias", second]
    watchers = "import sys; print(sum(hasattr(f, 'watches_sqlalchemy') for f in sys.meta_path))"

    assert run_well("-c", watchers, path=path) == "1"
    assert run_well("-c", CREATE + USE, path=path) == RECORDED


# Off, too old, too new, broken


def test_a_variable_switches_the_folder_off(folder: Path) -> None:
    program = CREATE + "print(type(engine.pool).__mro__[1].__name__)"

    assert run_well("-c", program, path=[folder]) == "RecordsMetrics"
    assert run_well("-c", program, path=[folder], SQLALCHEMY_POOL_METRICS="off") == "Pool"


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
def test_the_versions_that_are_known_are_supported(version: str, is_recorded: bool) -> None:
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
def test_a_fault_at_the_import_of_sqlalchemy_is_one_line_and_its_traceback(
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
def test_a_fault_at_the_creation_of_engines_is_one_line_and_its_traceback(
    folder: Path, break_it: str
) -> None:
    program = f"import sys, sqlalchemy\n{break_it}\n"
    program += "for _ in range(3): sqlalchemy.create_engine('sqlite://').connect().close()\n"
    ended = run("-c", program + "print('fine')", path=[folder])

    assert ended.stdout.strip() == "fine"
    assert ended.stderr.count("Traceback") == 1


# Other Pythons

FOUND = {
    version: python
    for version in ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10", "3.12", "3.13", "3.14")
    if (python := find_python(version)) is not None
}
OLD = ("2.7", "3.6", "3.7", "3.8")


@pytest.mark.parametrize("version", [version for version in FOUND if version in OLD])
def test_a_python_too_old_runs_the_other_sitecustomize_and_nothing_else(
    folder: Path, version: str
) -> None:
    other = write(folder.parent / "other" / "sitecustomize.py", "print('other')")
    broken = write(folder.parent / "broken" / "sitecustomize.py", "raise ValueError('broken')")
    program = "import sys; print([f for f in sys.meta_path if hasattr(f, 'watches_sqlalchemy')])"
    python = FOUND[version]

    assert run_well("-Bc", program, path=[folder], python=python) == "[]"
    assert run_well("-Bc", program, path=[folder, other], python=python) == "other\n[]"
    plain = run("-Bc", "pass", path=[broken], measured=False, python=python)
    ended = run("-Bc", "pass", path=[folder, broken], measured=False, python=python)
    assert (ended.returncode, ended.stderr) == (plain.returncode, plain.stderr)


@pytest.mark.parametrize("version", [version for version in FOUND if version not in OLD])
def test_another_python_records(tmp_path: Path, version: str) -> None:
    """With its newest SQLAlchemy; the oldest is tried on ours."""
    python = FOUND[version]
    packages = find_packages(python, version, "sqlalchemy>=2.0.58,<2.2")
    folder = tmp_path / "exported"
    subprocess.run(
        [python, "-m", "sqlalchemy_pool_metrics", "export", folder],
        check=True,
        capture_output=True,
        env={"PYTHONPATH": str(AGENT.parent)},
    )

    output = run_well("-c", CREATE + USE, path=[folder, packages], python=python)
    assert output == RECORDED
