"""Whose cancellation a CancelledError is: a driver may raise one that nobody asked for.

It must not know what a task does.
"""

import asyncio


def is_cancelled() -> bool:
    """Tells whether somebody cancelled the current task itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
