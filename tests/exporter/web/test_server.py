"""The end of a process cannot be held up."""

import signal
import subprocess
import sys

HANGING = """
import threading
from concurrent.futures import ThreadPoolExecutor
from exporter.web.server import start_countdown

start_countdown({seconds})
{work}
"""


def run(seconds: float, work: str) -> int:
    program = HANGING.format(seconds=seconds, work=work)
    return subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode


def test_process_ends_although_a_thread_hangs() -> None:
    assert run(0.1, "ThreadPoolExecutor().submit(threading.Event().wait)") == -signal.SIGALRM


def test_countdown_holds_up_nobody_who_ends_earlier() -> None:
    assert run(3600, "") == 0
