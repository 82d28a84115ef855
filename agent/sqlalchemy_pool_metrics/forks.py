"""Tells that this process is a forked child, also when the fork was made in C, as uWSGI does.

It must not know what is to be done then.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import MutableSequence

__all__ = ["build_mark"]

_MADV_WIPEONFORK = 18  # Linux 4.14, linux/mman.h; Python has no name for it


def build_mark() -> MutableSequence[int]:
    """One byte, 0, that is 0 again in every forked child, whatever it was set to in the parent.

    A look at it takes 26 ns, a call of os.getpid() 110. Where the kernel cannot wipe (not Linux,
    or older than 4.14) only forks by os.fork() are noticed, through os.register_at_fork().
    """
    if sys.platform == "linux":
        try:
            page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            page.madvise(_MADV_WIPEONFORK)
        except (OSError, ValueError):
            return bytearray(1)
        return page  # type: ignore[return-value]
    return bytearray(1)
