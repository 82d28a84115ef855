"""The holder of a checkout: a short text that says who has the connection.

It is the name that the application gave with `holder()`, else the endpoint or task that is running,
else the function that asked for the connection. It never contains anything that a user typed.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any, Callable, NamedTuple, TypeVar, cast

from .call_sites import CallSite, add_site, sites
from .endpoints import attach_loaded, loaded
from .endpoints import find as find_endpoint
from .faults import log_fault

__all__ = [
    "ALL",
    "NAMED",
    "Found",
    "HolderSearch",
    "choose_search",
    "holder",
    "is_on",
    "read_switch",
]

HOLDERS_VARIABLE = "SQLALCHEMY_POOL_METRICS_HOLDERS"
ON = ("on", "1", "true", "yes")
OFF = ("off", "0", "false", "no", "")
_CALLER = 3
"""The frame of the pool's caller: before it are those of `_find`, the recorder and the pool."""

Found = tuple[str, str]
"""A holder, and where it asks for the connection; "" if that is not known."""

_Function = TypeVar("_Function", bound="Callable[..., Any]")


class _Name(NamedTuple):
    """The name that applies, and the one from before."""

    text: str = ""
    before: _Name | None = None


_logger = logging.getLogger("sqlalchemy_pool_metrics")
_name: ContextVar[_Name] = ContextVar("sqlalchemy_pool_metrics_holder", default=_Name())  # noqa: B039 - a tuple


_get_name = _name.get


class HolderSearch:
    """How the pools that share this object find the holder of a checkout.

    Attributes:
        find: Returns the holder and the place of its call site, or None for nobody. It is None
            while no checkout can have a holder.
    """

    __slots__ = ("find",)

    def __init__(self, find: Callable[[], Found | None] | None) -> None:
        self.find = find


def _find_name() -> Found | None:
    name = _name.get().text
    return (name, "") if name else None


def _find() -> Found | None:
    # In one function, and with few calls: this runs at every checkout.
    try:
        try:
            frame: FrameType | None = sys._getframe(_CALLER)
        except ValueError:  # a greenlet's stack may be shorter
            frame = None
        # The innermost function outside libraries. Looking at frames takes time.
        while frame is not None:
            try:
                site = sites[id(frame.f_code)]
            except KeyError:
                site = _add_site(frame)
            if site.name:
                break
            frame = frame.f_back
        else:
            site = _find_in_parents()
        name = _get_name()[0] or (loaded.finders and find_endpoint()) or site.name
    # No others: a signal handler of the application may raise while this runs.
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as fault:
        log_fault("finding a holder", fault)
        return None
    return (name, site.place) if name else None


def _find_in_parents() -> CallSite:
    """Return the innermost function outside libraries that started the running greenlet.

    The stack of a greenlet begins where it was started, as by SQLAlchemy's greenlet_spawn(). A call
    site without a name stands for none.
    """
    module = sys.modules.get("greenlet")
    greenlet: Any = None if module is None else module.getcurrent().parent
    while greenlet is not None:
        frame: FrameType | None = greenlet.gr_frame
        while frame is not None:
            site = sites.get(id(frame.f_code)) or _add_site(frame)
            if site.name:
                return site
            frame = frame.f_back
        greenlet = greenlet.parent
    return CallSite()


def _add_site(frame: FrameType) -> CallSite:
    attach_loaded()  # a new function may come with a framework that was imported just now
    return add_site(frame)


NAMED = HolderSearch(None)
"""Finds only the names that the application gives; `find` is None until it gives one."""
ALL = HolderSearch(_find)
"""Finds endpoints, tasks and functions, too."""


def choose_search(wanted: bool | None = None) -> HolderSearch:
    """Return how to find holders; by default the environment decides."""
    if wanted is None:
        wanted = is_on(os.environ.get(HOLDERS_VARIABLE, ""), HOLDERS_VARIABLE)
    if not wanted:
        return NAMED
    attach_loaded()
    return ALL


def is_on(text: str, name: str) -> bool:
    """Return whether a text such as "1" or "True" switches something on.

    Anything but ON and OFF is logged once, under the name of the switch, and switches off.
    """
    switch = read_switch(text)
    if switch is None:
        _warn_of_unknown(text, name)
    return bool(switch)


def read_switch(text: str) -> bool | None:
    """Return what a text means; None if it is neither in ON nor in OFF."""
    word = text.strip().lower()
    return True if word in ON else False if word in OFF else None


@functools.lru_cache(maxsize=16)
def _warn_of_unknown(text: str, name: str) -> None:
    with suppress(Exception):  # the application's own logging handler may raise
        _logger.warning(
            "%s=%r is neither on nor off (on, 1, true, yes): holders are off", name, text
        )


class holder:  # noqa: N801 - used like a function, as contextlib.suppress
    """Names the holder of the connections that are checked out in a block or a function.

        with holder("nightly report"):
            ...

        @holder("nightly report")
        async def report() -> None: ...

    The name applies in this thread or task, and in those that are started with its context, such as
    asyncio's tasks. The innermost name wins. A function may be a coroutine function or a generator
    function of either kind. The names become label values: never build them from users' data.
    """

    def __init__(self, name: str) -> None:
        if callable(name):  # @holder without a name would never run the function
            raise TypeError('holder() takes a name, as in @holder("nightly report")')
        self._text = str(name)  # a checkout must not be the first to find that it is no text
        NAMED.find = _find_name

    def __enter__(self) -> None:
        """Apply the name."""
        _name.set(_Name(self._text, _name.get()))

    def __exit__(self, *_: object) -> None:
        """Apply the name from before."""
        text, before = _name.get()
        # A generator that is closed elsewhere may find another name.
        if text == self._text and before is not None:
            _name.set(before)

    def __call__(self, function: _Function) -> _Function:
        """Return a function that runs under the name whenever it is called."""
        if inspect.isasyncgenfunction(function):
            run = self._wrap_async_generator(function)
        elif inspect.iscoroutinefunction(function):
            run = self._wrap_coroutine(function)
        elif inspect.isgeneratorfunction(function):
            run = self._wrap_generator(function)
        else:
            run = self._wrap_function(function)
        return cast("_Function", functools.update_wrapper(run, function))

    def _wrap_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return run

    def _wrap_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return run

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            return (yield from _Steps(self, function(*args, **kwargs)))

        return run

    def _wrap_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> Any:
            steps: AsyncGenerator[Any, Any] = function(*args, **kwargs)
            step = steps.__anext__()
            while True:
                with self:
                    try:
                        value = await step
                    except StopAsyncIteration:
                        return
                try:
                    step = steps.asend((yield value))
                except GeneratorExit:
                    with self:
                        await steps.aclose()
                    raise
                except BaseException as error:
                    step = steps.athrow(error)

        return run


class _Steps(Generator[Any, Any, Any]):
    """Runs each step of a generator under a name, and what happens between the steps without it."""

    def __init__(self, name: holder, steps: Generator[Any, Any, Any]) -> None:
        self._name = name
        self._steps = steps

    def send(self, value: Any) -> Any:
        """Run the next step."""
        with self._name:
            return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        """Run the next step with an exception."""
        with self._name:
            return self._steps.throw(*error)
