"""An HTTP server in front of what has none: answers each request with what a function returns."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve_front(port: int, ask: Callable[[str], str]) -> None:
    """Serves until the process ends; `ask` is called with the path, in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = ask(self.path)
            self.send_response(int(answer[:3]))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
