"""Switches sqlalchemy_pool_metrics on in every Python with this file's folder on its PYTHONPATH.

First it runs the sitecustomize that Python would have run without the folder. The same file is the
folder's usercustomize, for programs started by a tool whose own sitecustomize runs no other:
Python imports that one too, except in virtual environments and with -s. Engines are recorded
once SQLAlchemy is imported. The file has to run on every Python, down to 2.7, and to cost nothing
where SQLAlchemy is never imported: it imports only what is loaded at start-up anyway.
"""

import os
import sys

FOLDER = os.path.dirname(__file__)  # noqa: PTH120 - pathlib is not loaded at start-up
SWITCH = "SQLALCHEMY_POOL_METRICS"
OFF = ("off", "0", "false", "no")
OLDEST_PYTHON = (3, 9)


class Watcher:
    """A finder that finds nothing, but notices when SQLAlchemy is imported.

    `injection.attach` patches `sqlalchemy.engine.url`. SQLAlchemy imports more of its modules after
    that one. At the first of them the watcher attaches the recording and removes itself. It wraps
    no loader, so that other import hooks, and find_spec("sqlalchemy"), work as before.
    """

    watches_sqlalchemy = True

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002 - the protocol of finders
        # type: (str, object, object) -> None
        """Attach the recording if SQLAlchemy's module is loaded; find nothing."""
        if name.startswith("sqlalchemy.") and is_loaded():
            # A new list: importlib is iterating over the old one and would skip the next finder.
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
            attach()


def is_loaded():
    # type: () -> bool
    """Return whether the module that is patched is complete."""
    return hasattr(sys.modules.get("sqlalchemy.engine.url"), "make_url")


def attach():
    # type: () -> None
    """Attach the recording; log a fault instead of raising it."""
    try:
        from sqlalchemy_pool_metrics import injection

        injection.attach(sys.modules["sqlalchemy.engine.url"])
    except Exception:
        import logging

        logger = logging.getLogger("sqlalchemy_pool_metrics")
        logger.warning("SQLAlchemy's pools are not recorded", exc_info=True)


def watch():
    # type: () -> None
    """Attach the recording now, or as soon as SQLAlchemy is imported."""
    if sys.version_info < OLDEST_PYTHON or os.environ.get(SWITCH, "").lower() in OFF:
        return
    if is_loaded():
        attach()
    elif not any(hasattr(finder, "watches_sqlalchemy") for finder in sys.meta_path):
        sys.meta_path.insert(0, Watcher())


def run_next(name, this):
    # type: (str, object) -> None
    """Run the next module of this name in place of this one; its exceptions pass through."""
    if FOLDER not in sys.path:
        return  # the import below would find this one again
    followers = sys.path[sys.path.index(FOLDER) + 1 :]
    del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if entry != FOLDER]
    try:
        __import__(name)
    except ImportError as fault:
        if getattr(fault, "name", name) != name:
            raise
        sys.modules[name] = this  # type: ignore[assignment]
    finally:
        put_back(followers)


def put_back(followers):
    # type: (list[str]) -> None
    """Put the folder back before its followers, wherever the other module left them."""
    places = [sys.path.index(entry) for entry in followers if entry in sys.path]
    sys.path.insert(places[0] if places else len(sys.path), FOLDER)


if __name__ in ("sitecustomize", "usercustomize"):
    this = sys.modules[__name__]  # keep a reference: Python 2 clears a module without one
    try:
        run_next(__name__, this)
    finally:
        watch()
