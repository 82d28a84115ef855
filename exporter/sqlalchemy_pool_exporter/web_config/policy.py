"""The web configuration in force, which a reload replaces."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy_pool_exporter.threads import BackgroundCalls
from sqlalchemy_pool_exporter.web_config import Pems, WebConfig, read_web_file

READ_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A web configuration, the contents of its files, and the TLS context built from them."""

    config: WebConfig
    pems: Pems | None
    context: ssl.SSLContext | None = field(compare=False)


class WebPolicy:
    """Who may send requests, and whether over TLS. Use it in the event loop's thread.

    While `deny_all` is set, it is unknown which file applies, and no request is allowed. Without a
    file every request is allowed, without TLS.
    """

    def __init__(self, file: Path | None, *, deny_all: bool = False) -> None:
        """Read the file and those it names, blocking. Raises SettingsErrors."""
        self.deny_all = deny_all
        self._calls = BackgroundCalls("web configuration")
        self._use(file)
        self._loaded = self._load(file)

    def _use(self, file: Path | None) -> None:
        self.file = file
        # Watched even while they are invalid: a change to any of them may fix that.
        self._files = [file] if file else []

    @property
    def config(self) -> WebConfig:
        """The web configuration in force."""
        return self._loaded.config

    @property
    def context(self) -> ssl.SSLContext | None:
        """TLS for new connections, None for plain HTTP."""
        return self._loaded.context

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers for every response. An empty one is not sent."""
        return self.config.http_server_config.headers.by_name

    @property
    def users(self) -> Mapping[str, str]:
        """The password hash of each user. Without users no password is required."""
        users = self.config.basic_auth_users
        return {name: password.get_secret_value() for name, password in users.items()}

    def list_files(self) -> list[Path]:
        """Return the file and those it named when it was last valid. Any thread may call it."""
        return self._files

    async def reload(self) -> bool:
        """Read the files again, put them into force and return whether that changed anything.

        Raises:
            SettingsErrors: They are not valid; the old configuration stays in force.
            TimeoutError: They could not be read in time; the old configuration stays in force.
        """
        if self.deny_all:
            return False
        return await self._reload()

    async def adopt(self, file: Path | None) -> None:
        """Put this file into force and end `deny_all`; do nothing without `deny_all`.

        Raises:
            SettingsErrors: It is not valid, and `deny_all` stays.
            TimeoutError: It could not be read in time, and `deny_all` stays.
        """
        if not self.deny_all:
            return
        if file != self.file:
            self._use(file)
        await self._reload()
        self.deny_all = False

    async def _reload(self) -> bool:
        load = partial(self._load, self.file)
        loaded = await self._calls.run(f"read {self.file}", load, READ_SECONDS)
        if loaded == self._loaded:
            return False  # keeps the context, with the sessions that clients can resume
        self._loaded = loaded
        return True

    def _load(self, path: Path | None) -> LoadedConfig:
        if path is None:
            return LoadedConfig(WebConfig(), None, None)
        file = read_web_file(path)
        self._files = file.list_files()
        pems = file.read_pems() if file.tls.is_enabled else None
        return LoadedConfig(file.config, pems, file.build_context(pems))

    def __repr__(self) -> str:
        if self.deny_all:
            return "<WebPolicy deny_all>"
        tls = "TLS" if self.context else "no TLS"
        return f"<WebPolicy {self.file} {tls}, {len(self.config.basic_auth_users)} users>"
