"""An HTTP server that answers each request with the result of a function."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve_front(port: int, ask: Callable[[str], str]) -> None:
    """Serve until the process ends; calls `ask` with the path in a new thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = ask(self.path)
            self.send_response(int(answer[:3]))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
