"""The functions on the stack: those of the application, and those of libraries."""

from __future__ import annotations

import os
from types import CodeType, FrameType

__all__ = ["CallSite", "add_site", "is_library", "sites"]

LIBRARIES_VARIABLE = "SQLALCHEMY_POOL_METRICS_LIBRARIES"
LIBRARIES = (
    "sqlalchemy",
    "sqlalchemy_pool_metrics",
    "sqlmodel",
    "flask_sqlalchemy",
    "asyncio",
    "concurrent",
    "contextlib",
    "jinja2",
    "threading",
)
"""Packages and modules that check connections out for their callers."""


MAX_SITES = 10_000
MAX_FILE = 80
MAX_FUNCTION = 60


class CallSite:
    """A function.

    Attributes:
        name: Its module and name; "" for a library's.
        place: "file:line name". The path begins with the outermost package: where the packages lie
            is nobody's business.
        code: Its code, which keeps its id from being used again.
    """

    __slots__ = ("code", "name", "place")  # faster to read than a NamedTuple

    def __init__(self, name: str = "", place: str = "", code: CodeType | None = None) -> None:
        self.name, self.place, self.code = name, place, code


sites: dict[int, CallSite] = {}
"""By the id of the code: the hash of a code object takes long."""


def add_site(frame: FrameType) -> CallSite:
    """Return the function that a frame runs; it is among the `sites` from now on."""
    code = frame.f_code
    module = str(frame.f_globals.get("__name__", ""))
    # The code of a template has no module.
    is_named = module and not is_library(module)
    function = getattr(code, "co_qualname", code.co_name)
    name = f"{module}.{function}" if is_named else ""
    if len(sites) >= MAX_SITES:
        sites.clear()
    place = f"{_shorten_path(code, module)}:{code.co_firstlineno} {function[-MAX_FUNCTION:]}"
    site = sites[id(code)] = CallSite(name, place, code)
    return site


def _shorten_path(code: CodeType, module: str) -> str:
    """Return a path that begins with the outermost package whose name the folder has, too."""
    *folders, file = code.co_filename.replace(os.sep, "/").split("/")
    packages = module.split(".")[: None if file == "__init__.py" else -1]
    shortened = file
    for folder, package in zip(reversed(folders), reversed(packages)):
        if folder != package:
            break
        shortened = f"{folder}/{shortened}"
    return shortened[-MAX_FILE:]


def is_library(module: str) -> bool:
    """Return whether a module belongs to one of the libraries."""
    named = os.environ.get(LIBRARIES_VARIABLE, "").replace(",", " ").split()
    return f"{module}.".startswith(tuple(f"{each}." for each in (*LIBRARIES, *named)))
