"""The command that writes the folder for PYTHONPATH, also without SQLAlchemy."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import stat
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from sqlalchemy_pool_metrics import __version__
from sqlalchemy_pool_metrics.__main__ import main
from sqlalchemy_pool_metrics.export import ENTRY_POINTS, MANIFEST, SWITCHES
from tests.agent.injected_programs import AGENT, BASE_PYTHON, ROOT, run, run_well

PACKAGE = "sqlalchemy_pool_metrics"
DISTRIBUTION = f"{PACKAGE}-{__version__}.dist-info"
USE = """
from sqlalchemy import create_engine
engine = create_engine("sqlite://")
with engine.connect(): pass
import sqlalchemy_pool_metrics
print(sqlalchemy_pool_metrics.__file__, sqlalchemy_pool_metrics.read_pool(engine).checkouts)
"""


def list_files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def export(folder: Path) -> set[str]:
    assert main(["export", str(folder)]) == 0
    return list_files(folder)


def test_the_exported_folder_switches_the_recording_on(tmp_path: Path) -> None:
    export(tmp_path / "agent")
    output = run_well("-c", USE, path=[tmp_path / "agent"], measured=False)

    assert output == f"{tmp_path}/agent/{PACKAGE}/__init__.py 1"


def test_the_folder_holds_the_package_its_switches_and_nothing_else(tmp_path: Path) -> None:
    sources = {f"{PACKAGE}/{file.relative_to(AGENT)}" for file in AGENT.rglob("*.py")}

    distribution = {f"{DISTRIBUTION}/{name}" for name in ("METADATA", "entry_points.txt")}
    others = {*SWITCHES, f"{PACKAGE}/py.typed", MANIFEST}
    assert export(tmp_path) == sources | distribution | others


def test_the_command_says_what_to_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(tmp_path)
    lines = capsys.readouterr().out.splitlines()

    assert lines[1:] == [f"PYTHONPATH={tmp_path}", "SQLALCHEMY_POOL_METRICS_DIR=DIR"]


def test_the_command_runs_without_sqlalchemy(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.append({str(AGENT.parent)!r}); sys.modules['sqlalchemy'] = None"
    )
    program += (
        f"\nfrom sqlalchemy_pool_metrics.__main__ import main; main(['export', {str(tmp_path)!r}])"
    )
    program += "\nprint(*(m for m in sys.modules if m.startswith(('sqlalchemy', 'prometheus'))))"
    output = run_well("-c", program, path=[AGENT.parent])

    assert set(output.splitlines()[-1].split()) == {
        "sqlalchemy",
        PACKAGE,
        f"{PACKAGE}.__main__",
        f"{PACKAGE}.export",
    }


def test_an_exported_folder_exports_itself(tmp_path: Path) -> None:
    first = export(tmp_path / "first")
    second = tmp_path / "second"
    path = [tmp_path / "first"]
    run_well("-Bm", PACKAGE, "export", second, path=path, python=BASE_PYTHON)

    assert list_files(second) == first
    for name in first:
        assert (second / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_all_users_may_read_the_folder_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        export(tmp_path / "deep" / "agent")
    finally:
        os.umask(before)
    made = [tmp_path / "deep", *(tmp_path / "deep").rglob("*")]

    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o755}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o644}


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o2777)
    export(tmp_path)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o2777


def test_a_second_export_updates_an_older_one(tmp_path: Path) -> None:
    written = export(tmp_path)
    manifest = tmp_path / MANIFEST
    gone = f"{PACKAGE}/gone.py\n{PACKAGE}/never_there.py\n{PACKAGE}-0.0.9.dist-info/METADATA"
    manifest.write_text(f"{manifest.read_text()}\n{gone}")
    (tmp_path / PACKAGE / "gone.py").touch()
    (tmp_path / f"{PACKAGE}-0.0.9.dist-info").mkdir()
    (tmp_path / f"{PACKAGE}-0.0.9.dist-info" / "METADATA").touch()
    (tmp_path / PACKAGE / "pool.py").write_text("old")
    (tmp_path / PACKAGE / "block.py").unlink()

    assert export(tmp_path) == written
    assert (tmp_path / PACKAGE / "pool.py").read_bytes() == (AGENT / "pool.py").read_bytes()
    assert not (tmp_path / f"{PACKAGE}-0.0.9.dist-info").exists()


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "shop-1-0123456789ab.pool").touch()
    written = export(tmp_path)
    (tmp_path / PACKAGE / "theirs.py").touch()
    (tmp_path / "retired").touch()

    assert export(tmp_path) == written | {f"{PACKAGE}/theirs.py", "retired"}


@pytest.mark.parametrize(
    "line", ["../victim.py", "/etc/victim.py", "victim.py", f"{PACKAGE}/../victim.py", "", "\0"]
)
def test_a_forged_manifest_deletes_nothing(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "agent"
    export(folder)
    for victim in (tmp_path / "victim.py", folder / "victim.py"):
        victim.touch()
    (folder / MANIFEST).write_text(line)
    export(folder)

    assert (tmp_path / "victim.py").exists()
    assert (folder / "victim.py").exists()


def test_programs_that_start_during_an_export_read_complete_files(tmp_path: Path) -> None:
    export(tmp_path)
    stop = threading.Event()

    def export_again() -> None:
        while not stop.is_set():
            export(tmp_path)

    thread = threading.Thread(target=export_again)
    thread.start()
    try:
        for _ in range(3):
            assert run_well("-c", USE, path=[tmp_path], measured=False).endswith(" 1")
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sitecustomize.py", "not written by an export"),
        ("usercustomize.py", "not written by an export"),
        (f"{PACKAGE}/__init__.py", "not written by an export"),
        (PACKAGE, "not a folder"),
    ],
)
def test_a_foreign_file_in_the_way_is_named_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("import sqlalchemy_pool_metrics")
    assert main(["export", str(tmp_path)]) == 1

    named = tmp_path / name.partition("/")[0]
    assert (
        f"cannot export to {tmp_path}: {named} is in the way: {reason}" in capsys.readouterr().err
    )
    assert list_files(tmp_path) == {name}
    assert path.read_text() == "import sqlalchemy_pool_metrics"


@pytest.mark.parametrize("name", [PACKAGE, "sitecustomize.py"])
def test_a_link_is_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder, elsewhere = tmp_path / "agent", tmp_path / "elsewhere"
    export(elsewhere)
    shutil.rmtree(elsewhere / PACKAGE / "injected")
    folder.mkdir()
    (folder / name).symlink_to(elsewhere / name)

    assert main(["export", str(folder)]) == 1
    assert f"{folder / name} is in the way" in capsys.readouterr().err
    assert not (elsewhere / PACKAGE / "injected").exists()


def test_a_file_where_the_folder_should_be_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    assert main(["export", str(tmp_path / "file")]) == 1
    assert f"{tmp_path}/file: " in capsys.readouterr().err
    assert main(["export", str(tmp_path / "file" / "deeper")]) == 1
    assert f"{tmp_path}/file/deeper" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["/proc/agent", "/proc/self/fd"])
def test_a_folder_that_cannot_be_written_is_named(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["export", name]) == 1
    assert f"cannot export to {name}: {name}" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "status"), [([], 1), (["--never-fail"], 0)])
def test_an_export_without_room_names_the_file_and_the_next_export_completes_it(
    tmp_path: Path, options: list[str], status: int
) -> None:
    folder, whole = tmp_path / "agent", export(tmp_path / "whole")
    program = f"""
import resource, sys
sys.dont_write_bytecode = True  # it would be cut off, too
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
from sqlalchemy_pool_metrics.__main__ import main
raise SystemExit(main(["export", *{options}, {str(folder)!r}]))
"""
    ended = run("-c", program, path=[AGENT.parent], measured=False)

    assert (ended.returncode, ended.stdout) == (status, "")
    assert f"cannot export to {folder}: {folder}/{PACKAGE}/" in ended.stderr
    assert ended.stderr.endswith(".py: File too large\n")
    assert list_files(folder) < whole - {*SWITCHES, f"{DISTRIBUTION}/entry_points.txt"}
    assert export(folder) == whole


def read_tree(folder: Path) -> dict[str, bytes | None]:
    """Return the contents of all files, and None for folders and links."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() and not path.is_symlink() else None
        )
        for path in folder.rglob("*")
    }


def write_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    (path / "__init__.py").write_text("raise SystemExit('foreign')")


def write_text(path: Path, text: str = "raise SystemExit('foreign')") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text)


def replace_by_link(path: Path) -> None:
    moved = Path(tempfile.mkdtemp()) / "moved"
    shutil.move(path, moved)
    path.symlink_to(moved)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


POOL = f"{PACKAGE}/pool.py"


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("sitecustomize.py", truncate),
        ("sitecustomize.py", write_text),
        ("sitecustomize.py", Path.unlink),
        ("sitecustomize.py", write_folder),
        ("sitecustomize.py", replace_by_link),
        ("sitecustomize", write_folder),
        ("usercustomize.cpython-311-x86_64-linux-gnu.so", write_text),
        ("usercustomize.py", write_text),
        (f"__pycache__/sitecustomize.{sys.implementation.cache_tag}.pyc", write_text),
        (f"{PACKAGE}/__pycache__/pool.{sys.implementation.cache_tag}.pyc", write_text),
        (f"{PACKAGE}/injected/__init__.py", write_text),
        (f"{PACKAGE}/json.py", write_text),
        (POOL, truncate),
        (POOL, Path.unlink),
        (POOL, write_folder),
        (POOL, replace_by_link),
        (PACKAGE, shutil.rmtree),
        (PACKAGE, replace_by_link),
        (f"{PACKAGE}/injected", replace_by_link),
        (MANIFEST, Path.unlink),
        (MANIFEST, write_folder),
        (f"{PACKAGE}-9.9.dist-info/entry_points.txt", write_text),
        (DISTRIBUTION, replace_by_link),
        ("json.py", write_text),
        ("sqlalchemy", write_folder),
        ("sqlalchemy-2.dist-info/METADATA", write_text),
    ],
)
def test_an_export_that_never_fails_repairs_what_it_finds(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "agent"
    assert main(["export", "--never-fail", str(folder)]) == 0
    whole = read_tree(folder)
    damage(folder / name)

    assert main(["export", "--never-fail", str(folder)]) == 0
    assert read_tree(folder) == whole
    assert run_well("-c", USE, path=[folder], measured=False).endswith(" 1")


def test_a_repair_keeps_what_is_behind_a_link(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "agent", tmp_path / "elsewhere"
    write_text(elsewhere / "pool.py", "theirs")
    folder.mkdir()
    (folder / PACKAGE).symlink_to(elsewhere)
    (folder / "sitecustomize.py").symlink_to(elsewhere / "pool.py")

    assert main(["export", "--never-fail", str(folder)]) == 0
    assert read_tree(elsewhere) == {"pool.py": b"theirs"}
    assert not (folder / PACKAGE).is_symlink()


def test_a_repair_leaves_alone_what_it_did_not_find_empty(tmp_path: Path) -> None:
    write_text(tmp_path / "shop.py", "theirs")
    for _ in range(2):
        assert main(["export", "--never-fail", str(tmp_path)]) == 0

    assert (tmp_path / "shop.py").read_text() == "theirs"


def test_a_repair_leaves_the_files_of_pools_alone(tmp_path: Path) -> None:
    for _ in range(2):
        assert main(["export", "--never-fail", str(tmp_path)]) == 0
        (tmp_path / "shop-1-0123456789ab.pool").touch()

    assert (tmp_path / "shop-1-0123456789ab.pool").exists()


def test_a_repair_without_room_leaves_nothing_that_switches_on(tmp_path: Path) -> None:
    main(["export", str(tmp_path)])
    program = f"""
import resource, sys
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
from sqlalchemy_pool_metrics.__main__ import main
raise SystemExit(main(["export", "--never-fail", {str(tmp_path)!r}]))
"""
    ended = run("-c", program, path=[AGENT.parent], measured=False)

    assert (ended.returncode, ended.stdout) == (0, "")
    assert f"cannot export to {tmp_path}: " in ended.stderr
    switches = {*SWITCHES, f"{DISTRIBUTION}/entry_points.txt"}
    assert list_files(tmp_path).isdisjoint(switches)


def test_the_folder_is_the_distribution_and_has_its_entry_points(tmp_path: Path) -> None:
    export(tmp_path)
    (distribution,) = importlib.metadata.distributions(path=[str(tmp_path)])
    project = tomllib.loads((ROOT / "agent" / "pyproject.toml").read_text())["project"]

    found = distribution.metadata["Name"], distribution.version
    assert found == (project["name"], project["version"])
    by_group: dict[str, dict[str, str]] = {}
    for each in distribution.entry_points:
        by_group.setdefault(each.group, {})[each.name] = each.value
        assert callable(each.load())
    assert by_group.items() >= project["entry-points"].items()
    assert set(by_group) == {*project["entry-points"], "opentelemetry_pre_instrument"}
    assert (tmp_path / DISTRIBUTION / "entry_points.txt").read_text() == ENTRY_POINTS


def test_the_plugin_in_a_url_records_where_another_sitecustomize_hides_ours(
    tmp_path: Path,
) -> None:
    export(tmp_path / "agent")
    write_text(tmp_path / "other" / "sitecustomize.py", "")
    program = USE.replace("sqlite://", "sqlite://?plugin=pool_metrics")
    path = [tmp_path / "other", tmp_path / "agent"]

    output = run_well("-sc", program, path=path, measured=False)
    assert output.endswith(f"{PACKAGE}/__init__.py 1")


def test_help_and_version_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for option, expected in (
        ("--version", f"sqlalchemy-pool-metrics {__version__}\n"),
        ("--help", "export"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([option])
        assert ended.value.code == 0
        assert expected in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["export"], ["import", "x"], ["export", "a", "b"]])
def test_wrong_arguments_are_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "agent" / "pyproject.toml").read_text())["project"]

    assert project["version"] == __version__


def test_importing_the_package_imports_nothing_of_sqlalchemy() -> None:
    program = "import sys, sqlalchemy_pool_metrics; print('sqlalchemy' in sys.modules)"

    assert run_well("-c", program, path=[AGENT.parent]) == "False"


@pytest.mark.parametrize("first", ["prometheus", "instrumentation", "plugin", "injection"])
def test_all_public_names_exist_whichever_module_is_imported_first(first: str) -> None:
    program = f"""
import sqlalchemy_pool_metrics.{first}
import sqlalchemy_pool_metrics as m
from sqlalchemy_pool_metrics import *
print(all(callable(getattr(m, name)) and name in dir(m) for name in m.__all__))
print(instrument is m.instrument, hasattr(m, "nothing"))
"""
    assert run_well("-c", program, path=[AGENT.parent]).split() == ["True", "True", "False"]


def test_the_command_exits_with_its_status(tmp_path: Path) -> None:
    ended = run("-m", PACKAGE, "export", "/proc/agent", path=[AGENT.parent])

    assert (ended.returncode, ended.stdout) == (1, "")
    assert run("-m", PACKAGE, "export", tmp_path, path=[AGENT.parent]).returncode == 0
    assert run("-m", PACKAGE, path=[AGENT.parent]).returncode == 2
