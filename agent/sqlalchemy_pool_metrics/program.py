"""Name the application after the module that the command line runs, not after its server."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

__all__ = ["find_program"]

_TARGET = re.compile(r"(?!(?:python|file|unix|fd|localhost):)([A-Za-z_][\w.]*):[A-Za-z_]\S*")
_MODULE = re.compile(r"[A-Za-z_][\w.]*")
_SERVERS = ("gunicorn", "uvicorn", "hypercorn", "daphne", "granian", "uwsgi", "dramatiq", "arq")
"""Run `module:application`."""
_APPLICATION_OPTIONS = {"celery": ("-A", "--app"), "flask": ("-A", "--app")}
_SCRIPT_OPTIONS = {"twistd": ("-y", "--python", "-f", "--file")}
_WITH_COMPONENTS = ("airflow", "dagster", "prefect")
"""Programs whose first argument says which of their components to run."""


def find_program(arguments: Sequence[str] | None = None) -> str:
    """Return the application that a command line runs; by default that of this process.

    It is the same in all processes of a server, and in children that were spawned.
    """
    return _find(tuple(sys.argv if arguments is None else arguments))


@lru_cache(maxsize=1)  # it looks for files, and a process with many engines asks for each of them
def _find(arguments: tuple[str, ...]) -> str:
    first, *rest = arguments or ("",)
    program = _find_module(Path(first)) if first not in ("", "-c", "-m") else first and "python"
    top, *_ = program.split(".")
    return (
        _find_option(rest, _APPLICATION_OPTIONS.get(top, ()), _read_application)
        or _find_option(rest, _SCRIPT_OPTIONS.get(top, ()), _read_script)
        or (top in _SERVERS and _find_target(rest))
        or (top == "twistd" and _find_word(rest))
        or (top in _WITH_COMPONENTS and " ".join((program, _find_word(rest))).strip())
        or program
    )


def _find_module(script: Path) -> str:
    """Return the name of a script's module with its packages, the same as with `python -m`."""
    parts = [] if script.name == "__main__.py" else [re.sub(r"\.pyw?$", "", script.name)]
    folder = script.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts) or script.parent.name


def _find_target(arguments: Sequence[str]) -> str:
    """Return the package of `package.module:application`, or of a last argument like it."""
    found = [match for each in arguments if (match := _TARGET.fullmatch(each.strip("'\"")))]
    if found:
        return found[0][1].split(".")[0]
    last = arguments[-1] if arguments else ""
    follows_option = len(arguments) > 1 and arguments[-2].startswith("-")
    return last.split(".")[0] if _MODULE.fullmatch(last) and not follows_option else ""


def _find_option(arguments: Sequence[str], names: Sequence[str], read: Callable[[str], str]) -> str:
    """Return the value of `-A value`, `-Avalue`, `--app value` or `--app=value`."""
    for number, argument in enumerate(arguments):
        for name in names:
            if argument == name:
                return read("".join(arguments[number + 1 : number + 2]))
            begin = f"{name}=" if name.startswith("--") else name
            if argument.startswith(begin) and not (begin == name and argument.startswith("--")):
                return read(argument[len(begin) :])
    return ""


def _read_application(value: str) -> str:
    return _find_module(Path(value.partition(":")[0])).split(".")[0]


def _read_script(value: str) -> str:
    return Path(value).stem


def _find_word(arguments: Sequence[str]) -> str:
    """Return the first argument that is not an option."""
    words = [each for each in arguments if not each.startswith("-")]
    return words[0] if words else ""
