"""`sqlalchemy-pool-exporter demo`: everything needed to see the exporter at work on one machine."""


def main(listen: str | None = None) -> int:
    """Runs the demo until Ctrl-C or SIGTERM and returns the exit status; for the main thread.

    `listen` is an address like 127.0.0.1:9723, the default.
    """
    # The tests' servers live in this package, too, and need no web server.
    from sqlalchemy_pool_exporter.demo.command import run_demo

    return run_demo(listen)
