"""Files that hold one secret each."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from sqlalchemy_pool_exporter.redaction import show_secret_path
from sqlalchemy_pool_exporter.settings.errors import SettingsError

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
