"""Queues of idle connections that tell who waits on them, and for how long."""

from __future__ import annotations

import asyncio
from threading import Condition
from typing import Any

from sqlalchemy.util.queue import AsyncAdaptedQueue, Empty, Full, Queue, QueueCommon

from .faults import log_fault, raised_by_application
from .recorder import Recorder
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
    """Adds the recording to a queue class that stands behind it among the bases.

    A caller waits when the queue is empty as it asks: the pool asks to block whenever it is at its
    limit, also with connections idle. Timing here and not in the pool's `_do_get`, which calls
    itself under contention, counts each wait once.
    """

    recorder: Recorder | None = None
    """None while the pool is being made."""

    def use(self, recorder: Recorder) -> None:
        """Record with this one from now on."""
        self.recorder = recorder

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        record = None
        try:
            record = super().get(False)
        except Empty:
            if not block:
                raise
        # Outside of the `except`, so that what is raised while waiting has no context of ours.
        return self._wait(timeout) if record is None else self._note_taken(record)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        try:
            self._note_returned(item)
        finally:
            super().put(item, block, timeout)

    def _note_returned(self, record: Any) -> None:
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

    def _note_taken(self, record: Any) -> Any:
        try:
            recorder = self.recorder
            if recorder is not None:
                with recorder.quick_lock:
                    recorder.record_taken(record)
        except Exception as fault:
            log_fault("recording a taken connection", fault)
        return record

    def _wait(self, timeout: float | None) -> Any:
        recorder, wait = self.recorder, None
        try:
            wait = recorder.record_wait_begin() if recorder is not None else None
        except Exception as fault:
            log_fault("recording a wait", fault)
        try:
            return self._note_taken(super().get(True, timeout))
        finally:
            if recorder is not None and wait is not None:
                _end_wait(recorder, *wait)


def _end_wait(recorder: Recorder, slot: int, since_ns: int) -> None:
    try:
        recorder.record_wait_end(slot, since_ns)
    except Exception as fault:
        log_fault("recording the end of a wait", fault)


class RecordingQueue(RecordsWaits, Queue[Any]):
    """SQLAlchemy's queue for threads, with what a pool does most often in one step each.

    Its mutex is the lock of the block, so that taking a record and noting it are one step, and
    whoever waits is woken only when it is known that somebody does: together that pays for much of
    the recording. For a record somebody waits in `_wait`, for room in a `put` that blocks, which
    only a user's own pool class would call.
    """

    _waiters = 0
    _putters = 0

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        super().__init__(maxsize, use_lifo)
        self.quick_mutex: Any = self.mutex

    def use(self, recorder: Recorder) -> None:
        """Not while anybody waits: the mutex is exchanged."""
        super().use(recorder)
        self.quick_mutex = recorder.quick_lock
        if self.mutex is recorder.lock:
            return
        self.mutex = recorder.lock
        self.not_empty = Condition(self.mutex)
        self.not_full = Condition(self.mutex)
        self._waiters = self._putters = 0

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        record = fault = None
        with self.quick_mutex:
            if self.queue:
                record = self.queue.pop() if self.use_lifo else self.queue.popleft()
                if self._putters:
                    self.not_full.notify()
                try:
                    if self.recorder is not None:
                        self.recorder.record_taken(record)
                except Exception as error:
                    fault = error
        if record is None:
            if not block:
                raise Empty
            return self._wait(timeout)
        if fault is not None:  # logged outside of the lock: a log handler may use the pool
            log_fault("recording a taken connection", fault)
        return record

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if block:
            self._put_blocking(item, timeout)
            return
        fault = None
        try:
            if not PROCESS.up_to_date[0]:
                PROCESS.run_maintenance()
        finally:  # whatever a signal handler raises meanwhile, the connection goes back
            with self.quick_mutex:
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
        with self.mutex:
            self._waiters += 1
        try:
            return super()._wait(timeout)
        finally:
            with self.mutex:
                self._waiters -= 1


class RecordingAsyncQueue(RecordsWaits, AsyncAdaptedQueue[Any]):
    """SQLAlchemy's queue for asyncio, with what a pool does most often in fewer steps."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self._note_taken(self._queue.get_nowait())
        except asyncio.QueueEmpty:
            pass
        if not block:
            raise Empty
        return self._wait(timeout)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if block:
            super().put(item, block, timeout)
            return
        try:
            self._note_returned(item)
        finally:
            self._put_now(item)

    def _put_now(self, item: Any) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull as full:
            raise Full from full


_classes: dict[type[Any], type[Any]] = {AsyncAdaptedQueue: RecordingAsyncQueue}


def make_recording(queue: Any, recorder: Recorder) -> None:
    """Let a queue that exists, and on which somebody may wait, record from now on."""
    if type(queue) is Queue and queue.mutex is recorder.lock:
        _take_over(queue, recorder)
    else:
        queue.recorder = recorder
        queue.__class__ = recording_queue_class(type(queue))


def _take_over(queue: Any, recorder: Recorder) -> None:
    """Make a RecordingQueue of SQLAlchemy's, whose mutex is the lock of the block already.

    Those who wait in SQLAlchemy's code will not tell when they are done: each return notifies from
    now on, which costs a little and harms nobody.
    """
    with queue.mutex:
        queue._waiters = queue._putters = 1  # some may be about to wait
        queue.recorder, queue.quick_mutex = recorder, recorder.quick_lock
        queue.__class__ = RecordingQueue


def find_mutex(queue: Any) -> Any:
    """The lock of SQLAlchemy's own queue for threads; None of any other."""
    return queue.mutex if type(queue) is Queue else None


def recording_queue_class(queue_class: type[Any]) -> type[Any]:
    """The recording subclass of a queue class of SQLAlchemy's or of one derived from it."""
    if issubclass(queue_class, RecordsWaits):
        return queue_class
    if queue_class not in _classes:
        _classes[queue_class] = type(queue_class.__name__, (RecordsWaits, queue_class), {})
    return _classes[queue_class]
