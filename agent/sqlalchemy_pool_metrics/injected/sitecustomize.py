"""Switches sqlalchemy_pool_metrics on in every Python with this file's folder on its PYTHONPATH.

It runs the sitecustomize that Python would have run without the folder, and has the engines
recorded once SQLAlchemy is imported. Every Python must get through it, down to 2.7, and pay nothing
where SQLAlchemy is never imported: it imports nothing that is not loaded at start-up anyway.
"""

import os
import sys

FOLDER = os.path.dirname(__file__)  # noqa: PTH120 - pathlib is not loaded at start-up
SWITCH = "SQLALCHEMY_POOL_METRICS"
OFF = ("off", "0", "false", "no")
OLDEST_PYTHON = (3, 9)


class Watcher:
    """A finder that finds nothing: it sees SQLAlchemy's modules being looked for.

    An engine's way begins in `sqlalchemy.engine.url`, and SQLAlchemy imports further modules of its
    own after that one. At the first of them it attaches the recording, and goes. It wraps no
    loader: neither who only looks for SQLAlchemy nor another import hook is affected.
    """

    watches_sqlalchemy = True

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002 - the protocol of finders
        # type: (str, object, object) -> None
        if name.startswith("sqlalchemy.") and is_loaded():
            # A new list: whoever iterates over the old one would pass over the next finder.
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
            attach()


def is_loaded():
    # type: () -> bool
    return hasattr(sys.modules.get("sqlalchemy.engine.url"), "make_url")


def attach():
    # type: () -> None
    try:
        from sqlalchemy_pool_metrics import injection

        injection.attach(sys.modules["sqlalchemy.engine.url"])
    except Exception:
        import logging

        logger = logging.getLogger("sqlalchemy_pool_metrics")
        logger.warning("SQLAlchemy's pools are not recorded", exc_info=True)


def watch():
    # type: () -> None
    if sys.version_info < OLDEST_PYTHON or os.environ.get(SWITCH, "").lower() in OFF:
        return
    if is_loaded():
        attach()
    elif not any(hasattr(finder, "watches_sqlalchemy") for finder in sys.meta_path):
        sys.meta_path.insert(0, Watcher())


def run_next(this):
    # type: (object) -> None
    """Run the next sitecustomize in place of this one; it may fail as it would by itself."""
    if FOLDER not in sys.path:
        return  # the next one found would be this one
    followers = sys.path[sys.path.index(FOLDER) + 1 :]
    del sys.modules["sitecustomize"]
    sys.path[:] = [entry for entry in sys.path if entry != FOLDER]
    try:
        __import__("sitecustomize")
    except ImportError as fault:
        if getattr(fault, "name", "sitecustomize") != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = this  # type: ignore[assignment]
    finally:
        put_back(followers)


def put_back(followers):
    # type: (list[str]) -> None
    """Put the folder back into sys.path, whatever the other sitecustomize has done to it."""
    places = [sys.path.index(entry) for entry in followers if entry in sys.path]
    sys.path.insert(places[0] if places else len(sys.path), FOLDER)


if __name__ == "sitecustomize":
    this = sys.modules["sitecustomize"]  # Python 2 empties a module that nothing refers to
    try:
        run_next(this)
    finally:
        watch()
