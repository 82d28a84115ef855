"""Runs SQLAlchemy's own pool tests, and ours, on each supported SQLAlchemy.

    python tests/conformance/run.py [VERSION ...]

For each version (default: the oldest supported, the newest 2.0 and the newest 2.1) it gets the
source distribution, runs SQLAlchemy's tests of pools, reconnecting, logging and asyncio with its
own pool classes and with the recording ones swapped in, and fails unless as many tests pass with
ours. Then it runs tests/agent on that version, if it is not the one installed. The sources are pure
Python and run from where they are unpacked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "conformance"
VERSIONS = ("==2.0.36", "~=2.0.36", "~=2.1.0")
DATABASES = {"sqlalchemy-2.0.36": "sqlite:///:memory:"}  # it hangs at exit on today's aiosqlite
TESTS = (
    "test/engine/test_pool.py",
    "test/engine/test_reconnect.py",
    "test/engine/test_logging.py",
    "test/ext/asyncio",
)
# They run programs of their own on several SQLAlchemys, or need none.
ELSEWHERE = (
    "tests/agent/failures",
    *(
        f"tests/agent/test_{name}.py"
        for name in ("injection", "sitecustomize", "launchers", "export", "endpoints")
    ),
)
FEWER_EXAMPLES = {"EXACTNESS_EXAMPLES": "10"}  # `make test` tries six times as many
TIMEOUT_SECONDS = 300
DEFAULT_DATABASE = "sqlite+aiosqlite:///:memory:"


def fetch_sources(requirement: str) -> Path:
    """Return the unpacked source distribution that fits the requirement."""
    folder = CACHE / requirement.replace("==", "").replace("~=", "newest-of-")
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.glob("sqlalchemy-*.tar.gz")):
        options = ["--quiet", "--no-deps", "--no-binary", "sqlalchemy", "--dest", str(folder)]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, f"sqlalchemy{requirement}"],
            check=True,
        )
    (archive,) = folder.glob("sqlalchemy-*.tar.gz")
    sources = folder / archive.name.removesuffix(".tar.gz")
    if not sources.exists():
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return sources


def start_sqlalchemy_tests(sources: Path, *plugins: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Start SQLAlchemy's tests; (process, where its JUnit report will be)."""
    report = sources / f"report-{'swapped' if plugins else 'plain'}.xml"
    database = DATABASES.get(sources.name, DEFAULT_DATABASE)
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "--dburi", database]
    command = [sys.executable, "-m", "pytest", *options, f"--junit-xml={report}", *plugins, *TESTS]
    with report.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=sources,
            env=_environment(sources / "lib", ROOT / "agent", ROOT / "tests" / "conformance"),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return process, report


def _environment(*paths: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def count_passed(report: Path) -> int:
    """Return how many tests of a JUnit report passed."""
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")  # noqa: S314 - our own file
    not_passed = sum(int(suite.get(kind, 0)) for kind in ("errors", "failures", "skipped"))
    return int(suite.get("tests", 0)) - not_passed


def compare(sources: Path) -> bool:
    """Run SQLAlchemy's tests with both pools at once; return whether as many pass with ours."""
    runs = [
        start_sqlalchemy_tests(sources),
        start_sqlalchemy_tests(sources, "-p", "swapped_pools"),
    ]
    for process, _ in runs:
        process.wait(timeout=TIMEOUT_SECONDS)
    plain, ours = (count_passed(report) for _, report in runs)
    print(f"{sources.name}: SQLAlchemy's own tests: {plain} pass plain, {ours} with our pools")
    if ours < plain or not plain:
        print(f"  see {runs[1][1].with_suffix('.log')}")
    return 0 < plain <= ours


def run_agent_tests(sources: Path) -> bool:
    """Run tests/agent on that version of SQLAlchemy, unless `make test` does."""
    if sources.name == f"sqlalchemy-{version('sqlalchemy')}":
        print(f"{sources.name}: tests/agent: `make test` runs them")
        return True
    environment = _environment(sources / "lib", ROOT / "agent", ROOT) | FEWER_EXAMPLES
    ignored = [f"--ignore={path}" for path in ELSEWHERE]
    options = ["-q", "-p", "no:cacheprovider", *ignored]
    command = [sys.executable, "-m", "pytest", *options, "tests/agent"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=TIMEOUT_SECONDS)
    print(f"{sources.name}: tests/agent: {'pass' if done.returncode == 0 else 'FAIL'}")
    return done.returncode == 0


def main(requirements: list[str]) -> int:
    """Return exit status 1 if a test is missing or fails on any version."""
    good = True
    for requirement in requirements or VERSIONS:
        sources = fetch_sources(requirement if requirement[0] in "=~" else f"=={requirement}")
        good &= compare(sources)
        good &= run_agent_tests(sources)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
