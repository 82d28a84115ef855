"""Queues of idle connections that record who waits on them, and for how long."""

from __future__ import annotations

from threading import Condition
from typing import Any

from sqlalchemy.util.queue import AsyncAdaptedQueue, Empty, Full, Queue, QueueCommon

from .faults import log_fault, raised_by_application
from .recorder import Recorder, note_overflow
from .registry import PROCESS

__all__ = [
    "RecordingAsyncQueue",
    "RecordingQueue",
    "RecordsWaits",
    "find_mutex",
    "make_recording",
    "recording_queue_class",
]


class RecordsWaits(QueueCommon[Any]):
    """Mixin that adds the recording to the queue class that follows it in the bases.

    A caller waits if the queue is empty when it asks. `block` alone does not show that: a pool at
    its limit always asks to block, even when connections are idle. The pool's `_do_get()` is the
    wrong place to measure a wait: it calls itself under contention and would count the wait twice.

    Attributes:
        recorder: None while the pool is being constructed.
    """

    recorder: Recorder | None = None

    def use(self, recorder: Recorder) -> None:
        """Record with this recorder from now on."""
        self.recorder = recorder

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take a record; record the wait, if there is one."""
        record = None
        try:
            record = super().get(False)
        except Empty:
            if not block:
                raise
        # After the `except`: an exception of the wait must not have our Empty as its context.
        if record is None:
            return self._wait(timeout)
        return record

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Record the return of a record and put it back."""
        try:
            self._record_returned(item)
        finally:
            try:
                super().put(item, block, timeout)
            except Full:
                note_overflow(item)
                raise

    def _record_returned(self, record: Any) -> None:
        if not PROCESS.up_to_date[0]:
            PROCESS.run_maintenance()
        try:
            recorder = self.recorder
            if recorder is not None:
                with recorder.quick_lock:
                    recorder.record_return(record)
        except Exception as fault:
            if raised_by_application(fault):
                raise
            log_fault("recording a return", fault)

    def _wait(self, timeout: float | None) -> Any:
        recorder, wait = self.recorder, None
        try:
            wait = recorder.record_wait_begin() if recorder is not None else None
        except Exception as fault:
            log_fault("recording a wait", fault)
        try:
            return super().get(True, timeout)
        finally:
            if recorder is not None and wait is not None:
                _end_wait(recorder, *wait)


def _end_wait(recorder: Recorder, slot: int, since_ns: int) -> None:
    try:
        recorder.record_wait_end(slot, since_ns)
    except Exception as fault:
        log_fault("recording the end of a wait", fault)


class RecordingQueue(RecordsWaits, Queue[Any]):
    """SQLAlchemy's queue for threads, with the most frequent operations written out.

    Its mutex is the block's lock: one acquisition covers a return and its recording. It notifies a
    condition only if a thread waits for it. That pays for much of the recording. The mutex is an
    RLock in SQLAlchemy, too, since the garbage collector can return a connection in the middle of a
    `get()`; see the docstring of sqlalchemy/util/queue.py.

    Attributes:
        quick_mutex: The mutex, cheaper in a `with` statement.
    """

    _waiters = 0  # callers in `_wait`
    _putters = 0  # callers in a `put` that blocks, which only a user's own pool class calls

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        """Take the arguments of SQLAlchemy's queue."""
        super().__init__(maxsize, use_lifo)
        self.quick_mutex: Any = self.mutex

    def use(self, recorder: Recorder) -> None:
        """Record with this recorder from now on. No thread may wait: the mutex is replaced."""
        super().use(recorder)
        self.quick_mutex = recorder.quick_lock
        if self.mutex is recorder.lock:
            return
        self.mutex = recorder.lock
        self.not_empty = Condition(self.mutex)
        self.not_full = Condition(self.mutex)
        self._waiters = self._putters = 0

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take a record; record the wait, if there is one."""
        record = None
        with self.quick_mutex:
            if self.queue:
                record = self.queue.pop() if self.use_lifo else self.queue.popleft()
                if self._putters:
                    self.not_full.notify()
        if record is None:
            if not block:
                raise Empty
            return self._wait(timeout)  # the pool asks to block only when it is at its limit
        return record

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Record the return of a record and put it back, under one lock."""
        if block:
            self._put_blocking(item, timeout)
            return
        fault = None
        try:
            if not PROCESS.up_to_date[0]:
                PROCESS.run_maintenance()
        finally:  # the connection goes back even if a signal handler raises meanwhile
            with self.quick_mutex:
                # Record first: as soon as the item is in the queue, another caller can take it.
                try:
                    if self.recorder is not None:
                        self.recorder.record_return(item)
                except Exception as error:
                    fault = error
                finally:
                    is_full = 0 < self.maxsize <= len(self.queue)
                    if not is_full:
                        self.queue.append(item)
                        if self._waiters:
                            self.not_empty.notify()
        if is_full:
            note_overflow(item)
            raise Full
        if fault is not None:
            if raised_by_application(fault):
                raise fault
            log_fault("recording a return", fault)

    def _put_blocking(self, item: Any, timeout: float | None) -> None:
        with self.mutex:
            self._putters += 1
        try:
            super().put(item, True, timeout)
        finally:
            with self.mutex:
                self._putters -= 1

    def _wait(self, timeout: float | None) -> Any:
        # Count first: a return before the base class looks at the queue again must notify it.
        with self.mutex:
            self._waiters += 1
        try:
            return super()._wait(timeout)
        finally:
            with self.mutex:
                self._waiters -= 1


class RecordingAsyncQueue(RecordsWaits, AsyncAdaptedQueue[Any]):
    """SQLAlchemy's queue for asyncio, with the most frequent operations written out.

    They use attributes of asyncio's queue that it does not document, the same from Python 3.9 to
    3.14, because each of its methods calls three others. They leave out what only its `join()`
    needs. That pays for much of the recording.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take a record; record the wait, if there is one."""
        queue: Any = self._queue
        if not queue._queue:
            if not block:
                raise Empty
            return self._wait(timeout)
        record = queue._queue.pop() if self.use_lifo else queue._queue.popleft()
        if queue._putters:  # callers of a `put` that blocks, which only a user's own class calls
            queue._wakeup_next(queue._putters)
        return record

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Record the return of a record and put it back."""
        if block:
            super().put(item, block, timeout)
            return
        fault = None
        try:
            if not PROCESS.up_to_date[0]:
                PROCESS.run_maintenance()
            recorder = self.recorder
            if recorder is not None:
                with recorder.quick_lock:
                    recorder.record_return(item)
        except Exception as error:
            fault = error
        finally:
            queue: Any = self._queue
            if 0 < queue._maxsize <= len(queue._queue):
                note_overflow(item)
                raise Full
            queue._queue.append(item)
            if queue._getters:
                queue._wakeup_next(queue._getters)
        if fault is not None:
            if raised_by_application(fault):
                raise fault
            log_fault("recording a return", fault)


_classes: dict[type[Any], type[Any]] = {AsyncAdaptedQueue: RecordingAsyncQueue}


def make_recording(queue: Any, recorder: Recorder) -> None:
    """Make an existing queue record; callers may be waiting on it."""
    if type(queue) is Queue and queue.mutex is recorder.lock:
        _take_over(queue, recorder)
    else:
        queue.recorder = recorder
        queue.__class__ = recording_queue_class(type(queue))


def _take_over(queue: Any, recorder: Recorder) -> None:
    """Turn SQLAlchemy's queue, whose mutex is the block's lock already, into a RecordingQueue."""
    with queue.mutex:
        # Callers that wait in SQLAlchemy's code are not counted. From now on each return notifies,
        # which costs a little and does no harm.
        queue._waiters = queue._putters = 1
        queue.recorder, queue.quick_mutex = recorder, recorder.quick_lock
        queue.__class__ = RecordingQueue


def find_mutex(queue: Any) -> Any:
    """Return the mutex of SQLAlchemy's own queue for threads, None for any other queue."""
    return queue.mutex if type(queue) is Queue else None


def recording_queue_class(queue_class: type[Any]) -> type[Any]:
    """Return the recording subclass of one of SQLAlchemy's queue classes, or of a subclass."""
    if issubclass(queue_class, RecordsWaits):
        return queue_class
    if queue_class not in _classes:
        _classes[queue_class] = type(queue_class.__name__, (RecordsWaits, queue_class), {})
    return _classes[queue_class]
