"""Certificates and keys as texts, each of a file or of the web configuration itself."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pem:
    """A text, the key in the configuration that it belongs to, and what may be shown of it."""

    key: str
    shown: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pems:
    """What TLS needs; `authorities` are those that sign the clients' certificates."""

    certificate: Pem
    key: Pem
    authorities: Pem | None


@contextmanager
def open_as_file(text: str) -> Iterator[str]:
    """A path for OpenSSL, which reads only files; where Linux is, of memory: a key stays there."""
    content = text.encode()
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(content)
            yield file.name
        return
    with os.fdopen(os.memfd_create("pem"), "wb", buffering=0) as memory:
        memory.write(content)
        yield f"/proc/self/fd/{memory.fileno()}"
