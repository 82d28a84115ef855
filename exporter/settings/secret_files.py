"""Files that hold one secret each."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from exporter.redaction import redact
from exporter.settings.errors import SettingsError
from exporter.urls import HIDDEN

MAX_BYTES: Final = 1024 * 1024


def read_secret_file(key: str, path: Path) -> str:
    """The text of the file, of MAX_BYTES at most.

    Raises SettingsError that names the path and no content. Only a file system that hangs makes it
    wait: what is no regular file, a pipe for one, is refused.
    """
    shown = f"got {show_secret_path(path)}"
    try:
        text = _read_start(path.expanduser()).decode("utf-8")
    except UnicodeDecodeError:
        raise SettingsError(key, shown, "a file in UTF-8") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = (getattr(error, "strerror", None) or "no such path").lower()
        raise SettingsError(key, shown, f"a readable file ({reason})") from None
    if not text.strip():
        raise SettingsError(key, shown, "a file that is not empty")
    return text


def _read_start(path: Path) -> bytes:
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"Larger than {MAX_BYTES} bytes")
    return content


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would wait for its writer


def show_path(path: Path | str) -> str:
    """The path, unless somebody put the secret itself where its file's name belongs."""
    text = str(path)
    return text if text.isprintable() and not may_be_secret(path) else HIDDEN


def may_be_secret(path: Path | str) -> bool:
    """Whether it looks like a URL or a password rather than a path."""
    text = str(path)
    return "@" in text or ":/" in text or redact(text) != text


def show_secret_path(path: Path) -> str:
    """As `show_path`, and no word that may be the secret: only what leads through folders."""
    text = str(path)
    is_path = text.startswith(("/", "~/", "$")) or text.count("/") > 1 or _is_there(path)
    return show_path(path) if is_path else HIDDEN


def _is_there(path: Path) -> bool:
    """Whether there is such a file, or a folder that it could be in."""
    try:
        return path.exists() or (path.parent.name != "" and path.parent.is_dir())
    except (OSError, ValueError):
        return False
