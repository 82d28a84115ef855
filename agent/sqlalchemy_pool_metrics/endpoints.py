"""The endpoint or task that is running, in the frameworks that the application has imported.

Flask and celery answer when they are asked. Starlette, FastAPI and Django do not: there the methods
that run a request are wrapped. A name consists of a method and a route's template, never of a path.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Callable, NamedTuple

from .faults import log_fault

__all__ = ["attach_loaded", "attach_new", "find", "loaded"]

METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
"""Any other method is OTHER: a client may send any word."""


def find() -> str:
    """Return the name of the innermost endpoint or task that is running; "" if there is none."""
    for find_in_framework in loaded.finders:
        found = find_in_framework()
        if found:
            return found
    return ""


def attach_loaded() -> None:
    """Attach to the frameworks that have been imported since the last call. Never raises."""
    # Does not wait: a signal handler may come here while its thread is at work here.
    if len(sys.modules) != loaded.modules and loaded.lock.acquire(blocking=False):
        try:
            loaded.attach()
        finally:
            loaded.lock.release()


def attach_new() -> None:
    """Attach to what was imported since the last call of `attach_loaded`, if there was one."""
    if loaded.modules:
        attach_loaded()


class _LoadedFrameworks:
    """The frameworks that are attached.

    Attributes:
        modules: How many modules were imported at the last look; 0 before the first.
        finders: A function of each framework that returns what is running, "" for nothing.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.modules = 0
        self.finders: tuple[Callable[[], str], ...] = ()
        self._finders: dict[str, Callable[[], str]] = {}

    def attach(self) -> None:
        self.modules = len(sys.modules)
        for name, last, attach in _FRAMEWORKS:
            module = sys.modules.get(name)
            if name not in self._finders and hasattr(module, last):
                try:
                    self._finders[name] = attach(module)
                except Exception as fault:
                    self._finders[name] = str
                    log_fault(f"finding holders in {name}", fault)
        # Tasks first: a task may run inside a request, but no request inside a task.
        found = (self._finders.get(name) for name, _, _ in _FRAMEWORKS)
        self.finders = tuple(dict.fromkeys(filter(None, found)))


loaded = _LoadedFrameworks()


def _name(method: str, path: str) -> str:
    return f"{method if method in METHODS else 'OTHER'} {path}"


# -- celery


def _attach_celery(state: Any) -> Callable[[], str]:
    get_current_task = state.get_current_task

    def find_task() -> str:
        task = get_current_task()
        return "" if task is None else str(task.name)

    return find_task


# -- Flask


def _attach_flask(flask: Any) -> Callable[[], str]:
    has_request_context, request = flask.has_request_context, flask.request

    def find_rule() -> str:
        rule = request.url_rule if has_request_context() else None
        return "" if rule is None else _name(request.method, rule.rule)

    return find_rule


# -- Django

_request: ContextVar[Any] = ContextVar("sqlalchemy_pool_metrics_request", default=None)


def _attach_django(base: Any) -> Callable[[], str]:
    respond, respond_async = base.BaseHandler._get_response, base.BaseHandler._get_response_async

    @functools.wraps(respond)
    def respond_named(self: Any, request: Any) -> Any:
        with _running(_request, request):
            return respond(self, request)

    @functools.wraps(respond_async)
    async def respond_named_async(self: Any, request: Any) -> Any:
        with _running(_request, request):
            return await respond_async(self, request)

    base.BaseHandler._get_response = respond_named
    base.BaseHandler._get_response_async = respond_named_async
    return _find_match


def _find_match() -> str:
    request = _request.get()
    match = None if request is None else request.resolver_match
    return "" if match is None else _name(request.method, f"/{match.route}")


@contextmanager
def _running(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        with suppress(ValueError):  # the garbage collector may end a coroutine in another context
            variable.reset(token)


# -- Starlette and FastAPI


class _Route(NamedTuple):
    """What is running, and the prefix of the mounted application that runs it."""

    name: str = ""
    prefix: str = ""


_route: ContextVar[_Route] = ContextVar("sqlalchemy_pool_metrics_route", default=_Route())  # noqa: B039 - a tuple


_get_route = _route.get


def _find_route() -> str:
    return _get_route()[0]


def _attach_starlette(routing: Any) -> Callable[[], str]:
    for route_class in (routing.Route, routing.WebSocketRoute, routing.Mount):
        _wrap_handle(route_class)
    return _find_route


def _attach_fastapi(routing: Any) -> Callable[[], str]:
    if "handle" in vars(routing.APIRoute):  # it does not always call Starlette's
        _wrap_handle(routing.APIRoute)
    return _find_route


def _wrap_handle(route_class: Any) -> None:
    handle = route_class.handle

    @functools.wraps(handle)
    async def handle_named(self: Any, scope: Any, receive: Any, send: Any) -> None:
        try:
            running = _describe_route(self, scope, _route.get().prefix)
        except Exception as fault:
            log_fault("naming a route", fault)
            running = _Route()
        with _running(_route, running):
            await handle(self, scope, receive, send)

    route_class.handle = handle_named


def _describe_route(route: Any, scope: Any, prefix: str) -> _Route:
    path = prefix + _read_path(route, scope)
    # A mount's own path ends in "/{path}", which stands for the path in the mounted application.
    inner = path.removesuffix("/{path}") if hasattr(route, "routes") else prefix
    is_websocket = scope["type"] == "websocket"
    return _Route(f"WEBSOCKET {path}" if is_websocket else _name(scope["method"], path), inner)


def _read_path(route: Any, scope: Any) -> str:
    """Return the template of a route's path.

    In recent versions of FastAPI the routes of an included router do not know its prefix.
    """
    context = scope.get("fastapi", {}).get("effective_route_context")
    if context is not None and context.original_route is route:
        return str(context.path_format)
    return str(route.path_format)


_FRAMEWORKS: tuple[tuple[str, str, Callable[[Any], Callable[[], str]]], ...] = (
    ("celery._state", "get_current_task", _attach_celery),
    ("flask", "request", _attach_flask),
    ("django.core.handlers.base", "BaseHandler", _attach_django),
    ("starlette.routing", "Router", _attach_starlette),
    ("fastapi.routing", "APIRouter", _attach_fastapi),
)
"""A module of each, the name by which to know that it is complete, and how to attach to it."""
