"""Pool classes that record what they do: SQLAlchemy's own, and any subclass of them.

They change nothing of how a pool works. A fault of the recording is logged and swallowed, and
`super()` is called in any case.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Callable
from weakref import ref

from sqlalchemy import exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool, QueuePool
from sqlalchemy.util.queue import Queue

from . import listeners
from .block import Block
from .description import describe
from .existing_connections import find_connections
from .faults import log_fault, raised_by_application
from .queues import RecordingQueue, RecordsWaits, find_mutex, make_recording, recording_queue_class
from .recorder import Recorder
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
    """Adds the recording to a pool class that stands behind it among the bases."""

    # On the class too: SQLAlchemy's tests compare what instances have beyond their class.
    _recorder: Recorder = None  # type: ignore[assignment]
    _records_metrics = True
    _plain_connect: Callable[[], PoolProxiedConnection]

    def __init_subclass__(cls) -> None:
        """Look up the base class's `connect` once: at each checkout super() would cost 2 %."""
        super().__init_subclass__()
        cls._plain_connect = super().connect  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Before Pool.__init__, which asks for the wrapped creator.
        self._recorder = Recorder(Block(PoolDescription()))
        super().__init__(*args, **kwargs)
        try:
            self._begin_recording()
            if (
                kwargs.get("_dispatch") is None
            ):  # else recreate() does, with the block to go on with
                PROCESS.add(self)
        except Exception as fault:
            log_fault("instrumenting a pool", fault)

    def connect(self) -> PoolProxiedConnection:
        if not PROCESS.up_to_date[0]:
            PROCESS.run_maintenance()
        entered_ns = monotonic_ns()
        try:
            fairy = self._plain_connect()
        except BaseException as error:
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
                raise
            log_fault("recording a checkout", fault)
        return fairy

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            if not PROCESS.up_to_date[0]:
                PROCESS.run_maintenance()
            with self._recorder.lock:
                self._recorder.record_return(record)
        except Exception as fault:
            if raised_by_application(fault):
                raise
            log_fault("recording a return", fault)
        finally:
            super()._do_return_conn(record)

    def _should_wrap_creator(self, creator: Any) -> Callable[[Any], DBAPIConnection]:
        return _timed(super()._should_wrap_creator(creator), ref(self))

    def recreate(self) -> Any:
        PROCESS.check_for_fork()
        successor = super().recreate()
        try:
            # A user's own recreate() may name the class that was there before.
            recording = instrument_pool(successor)
            recording._set_recorder(self._recorder.retire())
            PROCESS.add(recording)
        except Exception as fault:
            log_fault("recreating a pool", fault)
        return successor

    def dispose(self) -> None:
        PROCESS.check_for_fork()
        token = listeners.DISPOSING.set(ref(self))
        try:
            super().dispose()
        finally:
            with suppress(ValueError):  # whoever runs us may have changed the context meanwhile
                listeners.DISPOSING.reset(token)

    def _begin_recording(self) -> None:
        listeners.attach(self)
        self._set_recorder(self._recorder)
        self._recorder.describe(describe(self))

    def _set_recorder(self, recorder: Recorder) -> None:
        self._recorder = recorder
        queue = getattr(self, "_pool", None)
        if isinstance(queue, RecordsWaits):
            queue.use(recorder)
        elif isinstance(self, QueuePool):  # a user's class has put its own there
            make_recording(queue, recorder)


class MetricsQueuePool(RecordsMetrics, QueuePool):
    """QueuePool that records its metrics; takes the same arguments."""

    _records_metrics = True
    _do_return_conn = QueuePool._do_return_conn  # its queue records what is put into it
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
    """The recording subclass of any pool class; itself when it records already.

    It keeps the class's name, but for the two public ones, and the name under which it logs, so
    that users' settings of SQLAlchemy's loggers go on working.
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
    """Make a pool that exists record, whatever its class and whatever it has out.

    Connections that are out count from now on; their checkouts and openings before do not.
    Raises TypeError for a class whose instances cannot change their class.
    """
    if isinstance(pool, RecordsMetrics):  # without the lock: a finalizer may dispose of an engine
        return pool
    PROCESS.check_for_fork()
    with PROCESS.instrumenting:
        return pool if isinstance(pool, RecordsMetrics) else _instrument(pool)


def instrument_engine(engine: Any) -> RecordsMetrics:
    """Make the pool of an Engine record; a pool that create_engine just made is put anew.

    An object whose class was changed is slower for good, by 10 % of a checkout. Nobody but the
    engine knows such a pool, so that it may get another one, as `dispose()` gives it one.
    """
    PROCESS.check_for_fork()
    with PROCESS.instrumenting:
        if _is_new(engine.pool):
            engine.pool = _renew(engine.pool)
    return instrument_pool(engine.pool)


def _is_new(pool: Any) -> bool:
    """Whether create_engine made it, of a class of SQLAlchemy's, and nothing was opened yet."""
    return (
        type(pool) in (QueuePool, AsyncAdaptedQueuePool)
        and type(pool._pool) is type(pool)._queue_class
        and getattr(pool._creator, "__qualname__", "") == "create_engine.<locals>.connect"
        and pool._overflow == -pool._pool.maxsize
        and "_queue" not in vars(pool._pool)
    )


def _renew(pool: Any) -> RecordsMetrics:
    renewed: Any = object.__new__(metrics_class(type(pool)))
    for name, value in vars(pool).items():
        setattr(renewed, name, value)
    renewed._pool = renewed._queue_class(pool._pool.maxsize, use_lifo=pool._pool.use_lifo)
    renewed._recorder = Recorder(Block(PoolDescription()))
    renewed._invoke_creator = _timed(pool._invoke_creator, ref(renewed))
    renewed._begin_recording()
    PROCESS.add(renewed)
    return renewed  # type: ignore[no-any-return]


def _instrument(pool: Any) -> RecordsMetrics:
    lock = find_mutex(pool._pool) if isinstance(pool, QueuePool) else None
    recorder = Recorder(Block(PoolDescription(), lock))
    pool._recorder = recorder
    pool._invoke_creator = _timed(pool._invoke_creator, ref(pool))
    if isinstance(pool, QueuePool):
        make_recording(pool._pool, recorder)
    pool.__class__ = metrics_class(type(pool))
    # From here on everything is recorded; what was going on before is looked up.
    with recorder.lock:
        recorder.adopt(*find_connections(pool))
    pool._begin_recording()
    PROCESS.add(pool)
    return pool  # type: ignore[no-any-return]


def _timed(creator: Any, pool: ref[Any]) -> Callable[[Any], DBAPIConnection]:
    """The creator, with each call counted and timed by the pool it belongs to.

    The pool is referred to weakly: it keeps the creator, and a cycle would keep both alive.
    """

    def open_connection(record: ConnectionPoolEntry) -> DBAPIConnection:
        owner = pool()
        if owner is None:  # somebody copied the pool and dropped the original
            return creator(record)  # type: ignore[no-any-return]
        recorder: Recorder = owner._recorder
        began_ns = monotonic_ns()
        try:
            connection: DBAPIConnection = creator(record)
        except BaseException:
            recorder.record_failure("connection_failures")
            raise
        try:
            recorder.record_open(record, monotonic_ns() - began_ns)
        except Exception as fault:
            log_fault("recording an opened connection", fault)
        return connection

    return open_connection


def _failure_reason(error: BaseException) -> str:
    if isinstance(error, exc.TimeoutError) and error.code == _POOL_TIMEOUT_CODE:
        return "timeout"
    return "error" if isinstance(error, Exception) else "cancelled"
