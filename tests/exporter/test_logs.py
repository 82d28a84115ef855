"""What a person or a log collector reads on standard error."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from sqlalchemy_pool_exporter.logs import (
    JSONFormatter,
    TextFormatter,
    configure_logging,
    format_timestamp,
)

CANARY = "cAnArY-7"
URL = f"postgresql://app:{CANARY}@db/orders"
logger = logging.getLogger("sqlalchemy_pool_exporter.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Yields what the process would print, and gives the process back its logging."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    kept = root.handlers[:], root.level, uvicorn.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    root.handlers = []
    yield io.StringIO()
    root.handlers, root.level, uvicorn.level = kept
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(False)


def read_entry(stream: io.StringIO) -> dict[str, object]:
    entry = json.loads(stream.getvalue())
    assert isinstance(entry, dict)
    return entry


def test_text_line_is_time_level_message_and_fields(stream: io.StringIO) -> None:
    configure_logging("info", "text", stream)
    logger.warning("database is %s", "down", extra={"database": "primary", "reason": "refused"})
    time, _, rest = stream.getvalue().partition(" ")
    assert rest == "warning database is down database=primary reason=refused\n"
    assert time.endswith("Z")
    assert len(time) == len("2026-01-02T03:04:05.678Z")


def test_text_value_with_spaces_is_quoted_and_an_empty_one_is_visible(stream: io.StringIO) -> None:
    configure_logging("info", "text", stream)
    logger.info("x", extra={"message_of_driver": 'a "b"\nc', "empty": "", "count": 3})
    assert stream.getvalue().endswith(r'x message_of_driver="a \"b\"\nc" empty="" count=3' + "\n")


@pytest.mark.parametrize("name", ["clickhouse_driver.connection", "sqlalchemy.pool", "root"])
def test_what_libraries_log_is_for_level_debug(stream: io.StringIO, name: str) -> None:
    for level, lines in (("info", 0), ("debug", 1)):
        configure_logging(level, "json", stream)
        logging.getLogger(name).error("cannot connect")
        assert len(stream.getvalue().splitlines()) == lines


def test_message_with_line_feeds_stays_on_one_line(stream: io.StringIO) -> None:
    configure_logging("info", "text", stream)
    logger.info("first\nforged\r\x1b[31m")
    assert stream.getvalue().endswith("first\\nforged\\r\\x1b[31m\n")
    assert stream.getvalue().count("\n") == 1


def test_traceback_stands_indented_below_its_text_line(stream: io.StringIO) -> None:
    configure_logging("info", "text", stream)
    try:
        raise RuntimeError(f"cannot reach {URL}")
    except RuntimeError:
        logger.exception("probe failed")
    first, *trace = stream.getvalue().splitlines()
    assert first.endswith("error   probe failed")
    assert trace[0] == "    Traceback (most recent call last):"
    assert trace[-1] == "    RuntimeError: cannot reach postgresql://app:***@db/orders"


def test_json_line_has_standard_keys_and_fields(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    logger.warning("database is %s", "down", extra={"database": "primary", "attempts": 3})
    entry = read_entry(stream)
    assert str(entry.pop("ts")).endswith("Z")
    assert entry == {
        "level": "warning",
        "logger": "sqlalchemy_pool_exporter.test",
        "message": "database is down",
        "database": "primary",
        "attempts": 3,
    }


def test_json_exception_is_one_string_on_one_line(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    try:
        raise RuntimeError(URL)
    except RuntimeError:
        logger.exception("failed")
    assert stream.getvalue().count("\n") == 1
    exception = str(read_entry(stream)["exception"])
    assert exception.startswith("Traceback")
    assert exception.endswith("RuntimeError: postgresql://app:***@db/orders")


def test_field_of_any_type_is_valid_json_and_replaces_no_standard_key(
    stream: io.StringIO,
) -> None:
    configure_logging("info", "json", stream)
    logger.info("real", extra={"level": "forged", "ratio": float("nan"), "object": {1}})
    entry = read_entry(stream)
    assert entry["level"] == "info"
    assert entry["ratio"] == "nan"
    assert entry["object"] == "{1}"


@pytest.mark.parametrize("formatter", [TextFormatter(), JSONFormatter()])
def test_no_part_of_a_record_shows_a_password(formatter: logging.Formatter) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "at %s", (URL,), None)
    record.url = URL
    record.password = CANARY
    record.mapping = {"password": CANARY}
    record.stack_info = f"Stack:\n  connect({URL!r})"
    line = formatter.format(record)
    assert CANARY not in line
    assert line.count("***") == 5


def test_arguments_that_do_not_fit_the_message_follow_it(stream: io.StringIO) -> None:
    configure_logging("info", "text", stream)
    logger.info("%d connections", "many")
    assert "%d connections ('many',)" in stream.getvalue()


def test_level_is_obeyed(stream: io.StringIO) -> None:
    configure_logging("error", "text", stream)
    logger.warning("not shown")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("level", "shown"), [("info", False), ("debug", True)])
def test_lines_of_uvicorn_show_only_at_debug(level: str, shown: bool, stream: io.StringIO) -> None:
    configure_logging(level, "text", stream)
    logging.getLogger("uvicorn.error").info("Started server process")
    assert ("Started" in stream.getvalue()) is shown


def test_errors_of_uvicorn_have_our_format(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    logging.getLogger("uvicorn.error").error("boom", extra={"color_message": "\x1b[1mboom"})
    entry = read_entry(stream)
    assert entry["message"] == "boom"
    assert "color_message" not in entry


def test_python_warning_is_a_log_line(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(f"old driver {URL}", stacklevel=1)
    entry = read_entry(stream)
    assert entry["logger"] == "py.warnings"
    assert CANARY not in stream.getvalue()


def test_uncaught_exception_is_a_log_line_without_password(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    error = RuntimeError(URL)
    sys.excepthook(RuntimeError, error, None)
    assert read_entry(stream)["message"] == "uncaught exception"
    assert CANARY not in stream.getvalue()


def test_uncaught_exception_of_a_thread_is_a_log_line(stream: io.StringIO) -> None:
    def fail() -> None:
        raise RuntimeError(URL)

    configure_logging("info", "json", stream)
    thread = threading.Thread(target=fail, name="probe-primary")
    thread.start()
    thread.join()
    entry = read_entry(stream)
    assert entry["thread_name"] == "probe-primary"
    assert CANARY not in stream.getvalue()


class Unraisable:
    """Fails where Python cannot raise."""

    def __del__(self) -> None:
        raise RuntimeError(URL)


def test_exception_in_a_destructor_is_a_log_line(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    Unraisable()
    assert read_entry(stream)["message"] == "exception ignored"
    assert CANARY not in stream.getvalue()


def test_timestamp_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert format_timestamp(1767323045.6789) == "2026-01-02T03:04:05.678Z"
    assert format_timestamp(0) == "1970-01-01T00:00:00.000Z"
