"""The monotonic clock, from a private copy of the module `time`.

freezegun and libraries like it replace the functions of `time` in every module that has imported
them. Durations across such a change would be negative or years long. Nothing but this module
refers to the copy.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Callable

__all__ = ["monotonic_ns"]


def _copy_time() -> Any:
    """Return a second module object of `time`, whose functions are objects of their own."""
    spec: Any = importlib.util.find_spec("time")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


monotonic_ns: Callable[[], int] = _copy_time().monotonic_ns
