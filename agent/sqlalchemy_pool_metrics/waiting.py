"""Queues of idle connections that tell who waits on them, and for how long."""

from __future__ import annotations

from time import monotonic_ns
from typing import Any

from sqlalchemy.util.queue import Empty, QueueCommon

from .guard import log_fault
from .recorder import Recorder

__all__ = ["RecordsWaits", "waiting_queue_class"]


class RecordsWaits(QueueCommon[Any]):
    """Adds the recording to a queue class that stands behind it among the bases.

    A caller waits when the queue is empty as it asks: the pool asks to block whenever it is at its
    limit, also with connections idle. Timing here and not in the pool's `_do_get`, which calls
    itself under contention, counts each wait once.
    """

    recorder: Recorder

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            record = super().get(False)
        except Empty:
            if not block:
                raise
            record = None
        # Outside of the `except`, so that what is raised while waiting has no context of ours.
        if record is None:
            record = self._wait(timeout)
        try:
            self.recorder.record_taken(record)
        except Exception as fault:
            log_fault("recording a taken connection", fault)
        return record

    def _wait(self, timeout: float | None) -> Any:
        block = self.recorder.block
        since_ns = monotonic_ns()
        slot = None
        try:
            slot = block.record_wait_begin(since_ns)
        except Exception as fault:
            log_fault("recording a wait", fault)
        try:
            return super().get(True, timeout)
        finally:
            if slot is not None:
                _end_wait(block, slot, since_ns)


def _end_wait(block: Any, slot: int, since_ns: int) -> None:
    try:
        block.record_wait_end(slot, since_ns, monotonic_ns())
    except Exception as fault:
        log_fault("recording the end of a wait", fault)


_classes: dict[type[Any], type[Any]] = {}


def waiting_queue_class(queue_class: type[Any]) -> type[Any]:
    """The recording subclass of a queue class of SQLAlchemy's or of one derived from it."""
    if issubclass(queue_class, RecordsWaits):
        return queue_class
    if queue_class not in _classes:
        _classes[queue_class] = type(queue_class.__name__, (RecordsWaits, queue_class), {})
    return _classes[queue_class]
