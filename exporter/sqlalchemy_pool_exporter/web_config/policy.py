"""What the web configuration file says: read at the start, and anew on request.

It knows what to read and what to keep, nothing of connections and requests.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy_pool_exporter.threads import call_in_daemon
from sqlalchemy_pool_exporter.web_config import Pems, WebConfig, read_web_file

READ_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A web configuration and what its files hold; TLS is built of them and of nothing else."""

    config: WebConfig
    pems: Pems | None
    context: ssl.SSLContext | None = field(compare=False)


class WebPolicy:
    """Without a file there are none. For the event loop's thread, but for `list_files`.

    While `deny_all` nobody knows which file counts, and nobody is to be told anything.
    """

    def __init__(self, file: Path | None, *, deny_all: bool = False) -> None:
        """Reads the file and those it names, blocking. Raises SettingsErrors."""
        self.file = file
        self.deny_all = deny_all
        # Also those of a file that could not be used: what was wrong with them may be mended.
        self._files = [file] if file else []
        self._turn = asyncio.Lock()
        self._reading = self._read(file)

    @property
    def config(self) -> WebConfig:
        """What is in force."""
        return self._reading.config

    @property
    def context(self) -> ssl.SSLContext | None:
        """TLS for connections that begin now; None when they have none."""
        return self._reading.context

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers for every answer; empty is one that is not to be sent."""
        return self.config.http_server_config.headers.list_values()

    @property
    def users(self) -> Mapping[str, str]:
        """The hash of each user's password; when there is none, everybody may ask."""
        users = self.config.basic_auth_users
        return {name: password.get_secret_value() for name, password in users.items()}

    def list_files(self) -> list[Path]:
        """The file and those it names, as of the last time it could be read."""
        return self._files

    async def reload(self) -> bool:
        """Puts into force what the files say now; returns whether that is anything new.

        Raises SettingsErrors and TimeoutError, and then what was in force stays.
        """
        return await self._take(self.file)

    async def adopt(self, file: Path | None) -> None:
        """Puts the rules of this file into force where nobody knew which file counts.

        Raises as `reload`, and then they stay closed.
        """
        if self.deny_all:
            self._files = [file] if file else []
            await self._take(file)
            self.file, self.deny_all = file, False

    async def _take(self, file: Path | None) -> bool:
        read = partial(self._read, file)
        async with self._turn, asyncio.timeout(READ_SECONDS):
            reading = await call_in_daemon(read, "reading of the web configuration")
        is_new = reading != self._reading
        if is_new:
            self._reading = reading
        return is_new

    def _read(self, path: Path | None) -> Reading:
        if path is None:
            return Reading(WebConfig(), None, None)
        file = read_web_file(path)
        self._files = file.list_files()
        pems = file.read_pems() if file.tls.is_enabled else None
        return Reading(file.config, pems, file.build_context(pems))

    def __repr__(self) -> str:
        if self.deny_all:
            return "<WebPolicy closed>"
        tls = "TLS" if self.context else "no TLS"
        return f"<WebPolicy {self.file} {tls}, {len(self.config.basic_auth_users)} users>"
