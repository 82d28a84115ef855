"""How much of the exporter clients may use, and for how long."""

import resource
from dataclasses import dataclass, replace
from typing import Self

# Descriptors that are not for clients: of databases, files and the libraries.
RESERVED = 128


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers, bytes and seconds; see docs/web-config.md."""

    # More than requests: whoever is too many is to read that.
    connections: int = 640
    requests: int = 512
    head_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024
    # Of answers that wait to be taken, all together.
    unread_bytes: int = 64 * 1024 * 1024
    handshake_seconds: float = 10
    request_seconds: float = 10
    answer_seconds: float = 30
    # How often clients are looked at.
    look_seconds: float = 1

    def fit_descriptors(self) -> Self:
        """Returns the same limits with no more connections than the process can have open."""
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most == resource.RLIM_INFINITY or most - RESERVED >= self.connections:
            return self
        return replace(self, connections=max(most - RESERVED, 1))
