"""Secret files as Kubernetes mounts them: links into a dated folder, all replaced at once."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path


class MountedSecrets:
    """A volume: `file` -> `..data/file`, `..data` -> `..2026_1/`."""

    def __init__(self, folder: Path, **files: str) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        folder.mkdir()
        self.swap(**files)
        for name in files:
            (folder / name).symlink_to(Path("..data") / name)

    def find(self, name: str) -> str:
        return str(self._folder / name)

    def swap(self, **files: str) -> None:
        """Replace the contents of all files, as kubelet's AtomicWriter does."""
        data = self._folder / "..data"
        old = data.resolve() if data.exists() else None
        new = self._folder / f"..2026_{next(self._numbers)}"
        new.mkdir()
        for name, content in files.items():
            (new / name).write_text(content)
        link = self._folder / "..data_tmp"
        link.symlink_to(new.name)
        link.replace(data)
        if old is not None:
            shutil.rmtree(old)
