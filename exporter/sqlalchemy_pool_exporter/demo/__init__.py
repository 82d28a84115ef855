"""`sqlalchemy-pool-exporter demo`: everything needed to see the exporter at work on one machine."""


def main(listen: str | None = None) -> int:
    """Run the demo until Ctrl-C or SIGTERM and return the exit status; for the main thread.

    `listen` is an address; the default is that of POOL_EXPORTER_LISTEN, else 127.0.0.1:9723, or
    another port where this one is in use.
    """
    # Imported when it is needed: gunicorn's workers import this package for the shop alone.
    from sqlalchemy_pool_exporter.demo.command import run_demo

    return run_demo(listen)
