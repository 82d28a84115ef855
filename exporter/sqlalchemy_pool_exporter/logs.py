"""Log lines as text or JSON on standard error. Passwords are masked in all of them."""

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from math import isfinite
from types import TracebackType
from typing import Any, Final, TextIO

from sqlalchemy_pool_exporter.redaction import escape_unprintable, redact

_STANDARD_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",  # Python 3.12
    "color_message",  # uvicorn's second copy of its message
}
# The top-level names of the loggers that report on the exporter itself, and Python's warnings.
_OWN: Final = frozenset(
    {"sqlalchemy_pool_exporter", "sqlalchemy_pool_metrics", "uvicorn", "asyncio", "py"}
)
_UNCAUGHT: Final = "uncaught exception"


def configure_logging(level: str, layout: str, stream: TextIO | None = None) -> None:
    """Send the log records, warnings and uncaught exceptions of the process to a stream.

    Replaces the handlers of the root logger, to which uvicorn's loggers propagate. Records of other
    libraries are for level debug only: a driver may log each failure with a traceback, which a
    probe reports in one line for each change.

    Args:
        level: debug, info, warning or error.
        layout: text or json.
        stream: Standard error by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JSONFormatter() if layout == "json" else TextFormatter())
    if level != "debug":
        handler.addFilter(is_own)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # uvicorn's lines about start and stop repeat our own. Its warnings and errors matter.
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_exception
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread_exception


def is_own(record: logging.LogRecord) -> bool:
    """Return whether a record reports on the exporter, rather than on what a library met."""
    return record.name.partition(".")[0] in _OWN


class TextFormatter(logging.Formatter):
    """One line per record: time, level, message, key=value. A traceback is indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without a line feed at its end."""
        fields = [f"{key}={_quote(value)}" for key, value in read_fields(record).items()]
        time, level = format_timestamp(record.created), record.levelname.lower()
        head = f"{time} {level:<7} {escape_unprintable(read_message(record))}"
        trace = read_exception(record).splitlines()
        return "\n".join([" ".join([head, *fields]), *(f"    {line}" for line in trace)])


class JSONFormatter(logging.Formatter):
    """One JSON object per line: ts (RFC 3339), level, logger, message, fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. A field never replaces a standard key."""
        entry: dict[str, Any] = {
            "ts": format_timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": read_message(record),
        }
        entry = entry | read_fields(record) | entry
        if exception := read_exception(record):
            entry["exception"] = exception
        return json.dumps(entry)


def read_message(record: logging.LogRecord) -> str:
    """Return the message with its arguments; append them if they do not fit into it."""
    try:
        return redact(record.getMessage())
    except (TypeError, ValueError, KeyError):
        return redact(f"{record.msg} {record.args}")


def read_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields passed as `extra`: numbers and None unchanged, the rest as text."""
    return {
        key: _redact_field(key, value)
        for key, value in vars(record).items()
        if key not in _STANDARD_ATTRIBUTES
    }


def read_exception(record: logging.LogRecord) -> str:
    """Return the traceback, and the stack if it was requested, else an empty text."""
    parts = [record.stack_info] if record.stack_info else []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(logging.Formatter().formatException(record.exc_info))
    return redact("\n".join(parts))


def _redact_field(key: str, value: object) -> object:
    if value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return value
    # With the key in the text, redact() finds password=... by its name.
    prefix = f"{key}="
    return redact(f"{prefix}{value}").removeprefix(prefix)


def _quote(value: object) -> str:
    text = str(value)
    plain = text and text.isprintable() and not any(mark in text for mark in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)


def _log_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logging.getLogger("sqlalchemy_pool_exporter").critical(_UNCAUGHT, exc_info=(kind, error, trace))


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    error = unraisable.exc_value
    logging.getLogger("sqlalchemy_pool_exporter").error("exception ignored", exc_info=error)


def _log_thread_exception(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else ""
    logging.getLogger("sqlalchemy_pool_exporter").error(
        _UNCAUGHT, exc_info=args.exc_value, extra={"thread_name": name}
    )


def format_timestamp(unix_seconds: float) -> str:
    """Return RFC 3339 in UTC with milliseconds: 2026-01-02T03:04:05.678Z."""
    moment = datetime.fromtimestamp(unix_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
