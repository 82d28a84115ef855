"""Read files that hold one secret each."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from sqlalchemy_pool_exporter.redaction import show_secret_path
from sqlalchemy_pool_exporter.settings.errors import SettingsError

MAX_BYTES: Final = 1024 * 1024


def read_secret_file(key: str, path: Path) -> str:
    """Return the text of a file of at most MAX_BYTES.

    Only a file system that hangs can make this wait: pipes and devices are refused.

    Raises:
        SettingsError: Names the path, unless that may be a secret, and never the content.
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
    with open(path, "rb", opener=open_without_blocking) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"Larger than {MAX_BYTES} bytes")
    return content


def open_without_blocking(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to would block."""
    return os.open(path, flags | os.O_NONBLOCK)
