"""The folder on PYTHONPATH changes nothing else about a Python."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipapp
import zipfile
from pathlib import Path

import pytest

from tests.agent.injected_programs import (
    AGENT,
    BASE_PYTHON,
    CREATE,
    RECORDED,
    USE,
    find_packages,
    find_python,
    make_folder,
    run,
    run_well,
    write,
)

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


def test_a_process_without_sqlalchemy_differs_only_by_sitecustomize(folder: Path) -> None:
    def read_state(path: list[Path]) -> str:
        ended = run("-c", STATE, path=path, measured=False)
        assert ended.stderr == ""
        return ended.stdout

    nothing = write(folder.parent / "nothing" / "sitecustomize.py", "")

    assert read_state([folder]) == read_state([nothing])


def test_the_watcher_removes_itself_once_sqlalchemy_is_imported(folder: Path) -> None:
    program = "import sys; f = sys.meta_path[0]; import sqlalchemy; print(f in sys.meta_path)"

    assert run_well("-c", program, path=[folder]) == "False"


def test_a_missing_sqlalchemy_fails_as_without_the_folder(folder: Path) -> None:
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


def test_import_times_can_be_shown(folder: Path) -> None:
    ended = run("-X", "importtime", "-c", CREATE + USE, path=[folder])

    assert ended.stdout.strip() == RECORDED
    assert "sqlalchemy.engine.url" in ended.stderr


@pytest.mark.parametrize("flag", ["-S", "-I", "-E"])
def test_an_isolated_python_ignores_the_folder(folder: Path, flag: str) -> None:
    program = "import sys; print('sitecustomize' in sys.modules)"

    assert run_well(flag, "-c", program, path=[folder], python=BASE_PYTHON) == "False"


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


def test_another_sitecustomize_runs_and_is_the_one_in_sys_modules(folder: Path) -> None:
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


def test_usercustomize_runs_as_without_the_folder(folder: Path) -> None:
    other = write(folder.parent / "other" / "usercustomize.py", "print('user')")

    assert run_well("-c", "pass", path=[folder, other], python=BASE_PYTHON) == "user"


@pytest.mark.parametrize(("options", "watchers"), [("-c", "1"), ("-sc", "0")])
def test_usercustomize_switches_on_where_another_sitecustomize_hides_ours(
    folder: Path, options: str, watchers: str
) -> None:
    first = write(folder.parent / "first" / "sitecustomize.py", "print('first')")
    other = write(folder.parent / "other" / "usercustomize.py", "print('user')")
    program = "import sys; print(sum(hasattr(f, 'watches_sqlalchemy') for f in sys.meta_path))"
    path = [first, folder, other]

    output = run_well(options, program, path=path, python=BASE_PYTHON, measured=False)
    assert output.split() == ["first", *(["user"] if watchers == "1" else []), watchers]


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
def test_a_broken_sitecustomize_fails_as_without_the_folder(folder: Path, content: str) -> None:
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


def test_a_variable_switches_the_folder_off(folder: Path) -> None:
    program = CREATE + "print(type(engine.pool).__mro__[1].__name__)"

    assert run_well("-c", program, path=[folder]) == "RecordsMetrics"
    assert run_well("-c", program, path=[folder], SQLALCHEMY_POOL_METRICS="off") == "Pool"


FOUND = {
    version: python
    for version in ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10", "3.12", "3.13", "3.14")
    if (python := find_python(version)) is not None
}

OLD = ("2.7", "3.6", "3.7", "3.8")


@pytest.mark.parametrize("version", [version for version in FOUND if version in OLD])
def test_a_too_old_python_runs_the_other_sitecustomize_and_nothing_else(
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


@pytest.mark.parametrize("version", [version for version in FOUND if version in ("3.7", "3.8")])
def test_what_opentelemetry_calls_does_nothing_on_a_too_old_python(
    folder: Path, version: str
) -> None:
    program = """
import sys
from sqlalchemy_pool_metrics.injected.sitecustomize import watch
watch()
print([finder for finder in sys.meta_path if hasattr(finder, 'watches_sqlalchemy')])
"""
    assert run_well("-Bc", program, path=[folder], python=FOUND[version]) == "[]"


@pytest.mark.parametrize("version", [version for version in FOUND if version not in OLD])
def test_other_python_versions_record(tmp_path: Path, version: str) -> None:
    """Each with its newest SQLAlchemy."""
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
