"""Files that hold one secret each."""

from pathlib import Path

from exporter.settings.errors import SettingsError
from exporter.urls import HIDDEN


def read_secret_file(key: str, path: Path) -> str:
    """The text of the file. Raises SettingsError that names the path and no content."""
    shown = f"got {show_path(path)}"
    try:
        text = path.expanduser().read_text("utf-8")
    except UnicodeDecodeError:
        raise SettingsError(key, shown, "a file in UTF-8") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = (getattr(error, "strerror", None) or "no such path").lower()
        raise SettingsError(key, shown, f"a readable file ({reason})") from None
    if not text.strip():
        raise SettingsError(key, shown, "a file that is not empty")
    return text


def show_path(path: object) -> str:
    """The path, unless somebody put the secret itself where its file's name belongs."""
    text = str(path)
    is_path = isinstance(path, Path | str) and "@" not in text and ":/" not in text
    return text if is_path and text.isprintable() else HIDDEN
