"""Nothing holds up the end of a process."""

import signal
import subprocess
import sys

HANGING = """
import threading
from concurrent.futures import ThreadPoolExecutor
from sqlalchemy_pool_exporter.server.server import start_countdown

start_countdown({seconds})
{work}
"""


def run(seconds: float, work: str) -> int:
    program = HANGING.format(seconds=seconds, work=work)
    return subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode


def test_the_process_ends_although_a_thread_hangs() -> None:
    assert run(0.1, "ThreadPoolExecutor().submit(threading.Event().wait)") == -signal.SIGALRM


def test_a_process_that_ends_by_itself_does_not_wait_for_the_countdown() -> None:
    assert run(3600, "") == 0


EARLY = """
import signal
import uvicorn
from sqlalchemy_pool_exporter.settings import Settings
from sqlalchemy_pool_exporter.web.app import create_app
from sqlalchemy_pool_exporter.server.listener import open_listener
from sqlalchemy_pool_exporter.settings.fields import Address
from sqlalchemy_pool_exporter.server.server import serve

run = uvicorn.Server.run

def signal_and_run(server, sockets):
    signal.raise_signal(signal.SIGTERM)
    run(server, sockets)

uvicorn.Server.run = signal_and_run
app = create_app(Settings.model_validate({"databases": {"shop": {"url": "sqlite://"}}}))
serve(app, open_listener(Address("127.0.0.1", 0)))
print(app.state.service.state)
"""


def test_a_signal_before_the_server_runs_ends_it_in_order() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EARLY], timeout=60, check=True, capture_output=True, text=True
    )
    assert ended.stdout == "stopping\n"
    assert ended.stderr == ""
