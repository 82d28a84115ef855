"""Pool classes that record their metrics: subclasses of SQLAlchemy's classes and of users' own.

The pools work as before. Faults of the recording are logged, and `super()` is always called: a
`_do_return_conn()` that raises would lose the connection's slot for good.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable
from weakref import ref

from sqlalchemy import exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool, QueuePool
from sqlalchemy.util.queue import Queue

from . import listeners, statements
from .block import Block
from .clock import monotonic_ns
from .description import describe, find_module
from .existing_connections import find_connections
from .faults import log_fault, raised_by_application
from .holders import choose_search
from .queues import RecordingQueue, RecordsWaits, find_mutex, make_recording, recording_queue_class
from .recorder import Recorder, note_overflow
from .registry import PROCESS
from .snapshot import PoolDescription

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

__all__ = [
    "MetricsAsyncAdaptedQueuePool",
    "MetricsQueuePool",
    "RecordsMetrics",
    "instrument_engine",
    "instrument_pool",
    "metrics_class",
]

_POOL_TIMEOUT_CODE = "3o7r"


class RecordsMetrics(Pool):
    """Mixin that adds the recording to the pool class that follows it in the bases."""

    # Also a class attribute: SQLAlchemy's tests compare the attributes that only instances have.
    _recorder: Recorder = None  # type: ignore[assignment]
    _records_metrics = True
    _plain_connect: Callable[[], PoolProxiedConnection]

    def __init_subclass__(cls) -> None:
        """Look up the base class's `connect` once; super() would cost 2 % of each checkout."""
        super().__init_subclass__()
        cls._plain_connect = super().connect  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of the pool class."""
        # Before Pool.__init__, which calls _should_wrap_creator().
        self._recorder = Recorder(Block(PoolDescription()))
        super().__init__(*args, **kwargs)
        try:
            self._begin_recording()
            # With `_dispatch`, recreate() is building it, and adds it with the old pool's block.
            if kwargs.get("_dispatch") is None:
                PROCESS.add(self)
        except Exception as fault:
            log_fault("instrumenting a pool", fault)

    def connect(self) -> PoolProxiedConnection:
        """Check out a connection and record the checkout."""
        # Reading this byte is all that a checkout usually pays for forks and the shared file.
        if not PROCESS.up_to_date[0]:
            PROCESS.run_maintenance()
        entered_ns = monotonic_ns()
        try:
            fairy = self._plain_connect()
        except BaseException as error:  # CancelledError is not an Exception
            self._recorder.record_failure(f"checkout_failures_{_failure_reason(error)}")
            raise
        try:
            record = fairy._connection_record
            if record is None:
                self._recorder.record_detached_checkout(entered_ns)
            else:
                self._recorder.record_checkout(record, fairy, entered_ns)
        except Exception as fault:
            if raised_by_application(fault):
                raise  # the fairy dies with this frame, and its connection is returned
            log_fault("recording a checkout", fault)
        return fairy

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            if not PROCESS.up_to_date[0]:
                PROCESS.run_maintenance()
            with self._recorder.lock:
                self._recorder.record_return(record)
            if isinstance(self, QueuePool):
                note_overflow(record)  # until the queue takes it back
        except Exception as fault:
            if raised_by_application(fault):
                raise
            log_fault("recording a return", fault)
        finally:
            super()._do_return_conn(record)

    def _should_wrap_creator(self, creator: Any) -> Callable[[Any], DBAPIConnection]:
        return _build_timed_creator(super()._should_wrap_creator(creator), ref(self))

    def recreate(self) -> Any:
        """Return the pool that replaces this one; it continues in the same block."""
        PROCESS.check_for_fork()
        successor = super().recreate()
        try:
            # A user's own recreate() may build an object of the original class.
            recording = instrument_pool(successor)
            recording._set_recorder(self._recorder.retire())
            PROCESS.add(recording)
        except Exception as fault:
            log_fault("recreating a pool", fault)
        return successor

    def dispose(self) -> None:
        """Close the idle connections, and record why."""
        PROCESS.check_for_fork()
        token = listeners.DISPOSING.set(ref(self))
        try:
            super().dispose()
        finally:
            with suppress(ValueError):  # a greenlet may have switched to another context
                listeners.DISPOSING.reset(token)

    def _begin_recording(self) -> None:
        listeners.attach(self)
        statements.observe(self)
        self._set_recorder(self._recorder)
        description, block = describe(self), self._recorder.block
        self._recorder.describe(description)
        block.module = find_module()
        block.holder_search = choose_search()
        block.base_name = None if self._orig_logging_name else description.name

    def _set_recorder(self, recorder: Recorder) -> None:
        self._recorder = recorder
        queue = getattr(self, "_pool", None)
        if isinstance(queue, RecordsWaits):
            queue.use(recorder)
        elif isinstance(self, QueuePool):  # a user's class with its own queue class
            make_recording(queue, recorder)


class MetricsQueuePool(RecordsMetrics, QueuePool):
    """QueuePool that records its metrics; takes the same arguments."""

    _records_metrics = True
    _do_return_conn = QueuePool._do_return_conn  # the queue records returns
    # The logger is named after the class; users configure it by SQLAlchemy's name.
    _sqla_logger_namespace = "sqlalchemy.pool.impl.QueuePool"
    _queue_class = RecordingQueue


class MetricsAsyncAdaptedQueuePool(RecordsMetrics, AsyncAdaptedQueuePool):
    """AsyncAdaptedQueuePool that records its metrics; takes the same arguments."""

    _records_metrics = True
    _do_return_conn = QueuePool._do_return_conn
    _sqla_logger_namespace = "sqlalchemy.pool.impl.AsyncAdaptedQueuePool"
    _queue_class = recording_queue_class(AsyncAdaptedQueuePool._queue_class)


_classes: dict[type[Pool], type[RecordsMetrics]] = {
    QueuePool: MetricsQueuePool,
    AsyncAdaptedQueuePool: MetricsAsyncAdaptedQueuePool,
}


def metrics_class(pool_class: type[Pool]) -> type[RecordsMetrics]:
    """Return the recording subclass of a pool class, or the class itself if it records already.

    A subclass made here has the same name. All log under the name of the original class, so that
    users' settings of SQLAlchemy's loggers still apply.
    """
    if issubclass(pool_class, RecordsMetrics):
        return pool_class
    if pool_class not in _classes:
        _classes[pool_class] = _make_class(pool_class)
    return _classes[pool_class]


def _make_class(pool_class: type[Pool]) -> type[RecordsMetrics]:
    namespace: dict[str, Any] = {
        "__module__": pool_class.__module__,
        "_records_metrics": True,
        "__doc__": f"{pool_class.__name__} that records its metrics.",
        "_sqla_logger_namespace": getattr(pool_class, "_sqla_logger_namespace", None)
        or f"{pool_class.__module__}.{pool_class.__name__}",
    }
    if issubclass(pool_class, QueuePool):
        if pool_class._do_return_conn is QueuePool._do_return_conn:
            namespace["_do_return_conn"] = QueuePool._do_return_conn
        queue_class = pool_class._queue_class
        namespace["_queue_class"] = (
            RecordingQueue if queue_class is Queue else recording_queue_class(queue_class)
        )
    return type(pool_class.__name__, (RecordsMetrics, pool_class), namespace)


def instrument_pool(pool: Pool) -> RecordsMetrics:
    """Make an existing pool record, even while connections are out.

    Those connections count from now on; their checkouts and openings do not.

    Raises:
        TypeError: The objects of the pool's class cannot change their class.
    """
    if isinstance(pool, RecordsMetrics):
        return pool  # without the lock: a finalizer that disposes of an engine comes here
    PROCESS.check_for_fork()
    with PROCESS.instrumenting:
        return pool if isinstance(pool, RecordsMetrics) else _instrument(pool)


def instrument_engine(engine: Any) -> RecordsMetrics:
    """Make an engine's pool record; replace the pool if it is unused.

    Changing the class of an object makes its checkouts 10 % slower for good. Only the engine refers
    to an unused pool, so it can be replaced, as `dispose()` does.
    """
    PROCESS.check_for_fork()
    with PROCESS.instrumenting:
        if _is_unused(engine.pool):
            engine.pool = _build_copy(engine.pool)
    return instrument_pool(engine.pool)


def _is_unused(pool: Any) -> bool:
    """Return whether create_engine made the pool, its class is SQLAlchemy's, and it is unused."""
    return (
        type(pool) in (QueuePool, AsyncAdaptedQueuePool)
        and type(pool._pool) is type(pool)._queue_class
        and getattr(pool._creator, "__qualname__", "") == "create_engine.<locals>.connect"
        and pool._overflow == -pool._pool.maxsize
        and "_queue" not in vars(pool._pool)
    )


def _build_copy(pool: Any) -> RecordsMetrics:
    """Return a recording pool with the attributes of an unused one."""
    copy: Any = object.__new__(metrics_class(type(pool)))
    for name, value in vars(pool).items():
        setattr(copy, name, value)
    copy._pool = copy._queue_class(pool._pool.maxsize, use_lifo=pool._pool.use_lifo)
    copy._recorder = Recorder(Block(PoolDescription()))
    copy._invoke_creator = _build_timed_creator(pool._invoke_creator, ref(copy))
    copy._begin_recording()
    PROCESS.add(copy)
    return copy  # type: ignore[no-any-return]


def _instrument(pool: Any) -> RecordsMetrics:
    # Other threads may use the pool meanwhile. The block shares the queue's mutex from the start,
    # because a mutex that a thread may hold or wait for cannot be replaced.
    lock = find_mutex(pool._pool) if isinstance(pool, QueuePool) else None
    recorder = Recorder(Block(PoolDescription(), lock))
    pool._recorder = recorder
    pool._invoke_creator = _build_timed_creator(pool._invoke_creator, ref(pool))
    if isinstance(pool, QueuePool):
        make_recording(pool._pool, recorder)
    pool.__class__ = metrics_class(type(pool))
    # From here on every event is recorded. Only now look for the connections from before.
    with recorder.lock:
        recorder.adopt(*find_connections(pool))
    pool._begin_recording()
    PROCESS.add(pool)
    return pool  # type: ignore[no-any-return]


def _build_timed_creator(creator: Any, pool: ref[Any]) -> Callable[[Any], DBAPIConnection]:
    """Wrap a pool's creator so that the pool counts and times each call.

    The reference to the pool is weak: the pool refers to its creator, and a cycle would keep both
    until the next garbage collection.
    """

    def open_connection(record: ConnectionPoolEntry) -> DBAPIConnection:
        owner = pool()
        if owner is None:  # the pool was copied and the original dropped
            return creator(record)  # type: ignore[no-any-return]
        recorder: Recorder = owner._recorder
        block = _begin_open(owner)
        began_ns = monotonic_ns()
        try:
            connection: DBAPIConnection = creator(record)
        except BaseException as error:
            recorder.record_connection_failure(error)
            raise
        else:
            try:
                recorder.record_open(record, monotonic_ns() - began_ns)
            except Exception as fault:
                log_fault("recording an opened connection", fault)
            return connection
        finally:
            recorder.end_open(block)

    return open_connection


def _begin_open(pool: Any) -> Block | None:
    """Note that a connection is being opened; the first one of a pool gives it its place."""
    try:
        statements.observe(pool)  # again: create_engine(pool=...) gives the pool its dialect late
        block: Block = pool._recorder.begin_open()
        if not block.is_placed:
            PROCESS.find_place(block)
    except Exception as fault:
        if raised_by_application(fault):
            raise
        log_fault("recording that a connection is being opened", fault)
        return None
    return block


def _failure_reason(error: BaseException) -> str:
    if isinstance(error, exc.TimeoutError) and error.code == _POOL_TIMEOUT_CODE:
        return "timeout"
    return "error" if isinstance(error, Exception) else "cancelled"
