"""Read a web configuration and the files that it names; report mistakes with their lines."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from sqlalchemy_pool_exporter.redaction import MASK, show_path
from sqlalchemy_pool_exporter.settings.errors import SettingsError, SettingsErrors
from sqlalchemy_pool_exporter.settings.messages import (
    MessageContext,
    describe_validation_error,
    locate,
)
from sqlalchemy_pool_exporter.settings.secret_files import read_secret_file
from sqlalchemy_pool_exporter.settings.yaml_file import KeyPath, read_document
from sqlalchemy_pool_exporter.web_config.schema import WebConfig
from sqlalchemy_pool_exporter.web_config.ssl_context import Pem, Pems, build_context
from sqlalchemy_pool_exporter.web_config.tls import TLSServerConfig

SECTION: Final = "tls_server_config"
CONTEXT: Final = MessageContext(
    WebConfig,
    secret_keys=frozenset({"basic_auth_users", "cert", "key", "client_ca"}),
    path_keys=frozenset({"cert_file", "key_file", "client_ca_file"}),
)


@dataclass(frozen=True, slots=True)
class WebFile:
    """A valid web configuration and the lines of its keys."""

    path: Path
    config: WebConfig
    origins: Mapping[KeyPath, str]

    @property
    def tls(self) -> TLSServerConfig:
        """The section about TLS."""
        return self.config.tls_server_config

    def list_files(self) -> list[Path]:
        """Return the file itself and those that it names, relative to its folder."""
        named = (self.tls.cert_file, self.tls.key_file, self.tls.client_ca_file)
        return [self.path, *(self.path.parent / file for file in named if file)]

    def read_pems(self) -> Pems:
        """Read certificates and key of a configuration with TLS. Raises SettingsErrors."""
        errors: list[SettingsError] = []
        certificate = self._read("cert", errors)
        key = self._read("key", errors)
        given = self.tls.client_ca or self.tls.client_ca_file
        authorities = self._read("client_ca", errors) if given else None
        if errors:
            raise self.locate(SettingsErrors(errors))
        return Pems(certificate, key, authorities)

    def build_context(self, pems: Pems | None = None) -> ssl.SSLContext | None:
        """Return TLS for new connections, None if it is off. Raises SettingsErrors."""
        if not self.tls.is_enabled:
            return None
        pems = pems or self.read_pems()
        try:
            return build_context(self.tls, pems)
        except SettingsErrors as errors:
            raise self.locate(errors) from None

    def locate(self, errors: SettingsErrors) -> SettingsErrors:
        """Return mistakes of the section about TLS with their full keys and lines."""
        return SettingsErrors(locate(error.below(SECTION), self.origins) for error in errors.errors)

    def _read(self, key: str, errors: list[SettingsError]) -> Pem:
        given = getattr(self.tls, key)
        if given:
            text = given if isinstance(given, str) else given.get_secret_value()
            return Pem(key, f"got {MASK}", text)
        file = self.path.parent / getattr(self.tls, f"{key}_file")
        try:
            text = read_secret_file(f"{key}_file", file)
        except SettingsError as error:
            errors.append(error)
            text = ""
        return Pem(f"{key}_file", f"got {show_path(file)}", text)


def read_web_file(path: Path) -> WebFile:
    """Read a file in the format of the exporter-toolkit, but not the files that it names.

    An empty file is valid.

    Raises:
        SettingsErrors: Lists every mistake, without secrets.
    """
    document = read_document(path, content="a web configuration", may_be_empty=True)
    origins = {key: f"{path} {line}" for key, line in document.origins.items()}
    try:
        config = WebConfig.model_validate(dict(document.data))
    except ValidationError as error:
        raise describe_validation_error(error, origins, CONTEXT) from None
    file = WebFile(path, config, origins)
    if mistakes := [*config.tls_server_config.find_mistakes()]:
        raise file.locate(SettingsErrors(mistakes))
    return file
