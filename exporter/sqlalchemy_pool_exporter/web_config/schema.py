"""The web configuration file as a pydantic model."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from sqlalchemy_pool_exporter.settings.errors import expect
from sqlalchemy_pool_exporter.settings.fields import (
    Section,
    WebSection,
    WholeNumber,
    parse_duration,
)
from sqlalchemy_pool_exporter.web_config.tls import TLSServerConfig

# Other characters would end the header or cannot be sent.
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")
_BCRYPT_HASH: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
HIGHEST_COST: Final = 20
EXPECTED_DURATION: Final = "a duration with its unit like 100ms or 1s, 0 for no limit"
EXPECTED_HASH: Final = 'a bcrypt hash like $2y$10$... (htpasswd -nBC 10 "")'


def _write_number(value: Any) -> Any:
    # `X-XSS-Protection: 1` is a number in YAML.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_header(value: str) -> str:
    if not _HEADER_VALUE.fullmatch(value):
        raise expect("one line of ASCII text")
    return value.strip()


def _parse_interval(value: Any) -> float:
    # A plain number means nanoseconds in the toolkit and seconds in our settings.
    if isinstance(value, int | float) and value != 0:
        raise expect(EXPECTED_DURATION)
    return parse_duration(value)


def _check_user(name: str) -> str:
    if ":" in name:  # perhaps a line of htpasswd with the hash
        raise expect("a user name, with its hash after the colon", shown="a name with a colon")
    return name


def _check_hash(value: SecretStr) -> SecretStr:
    match = _BCRYPT_HASH.fullmatch(value.get_secret_value())
    if match is None:
        raise expect(EXPECTED_HASH)
    if not 4 <= int(match[1]) <= HIGHEST_COST:
        raise expect(f"a bcrypt hash with a cost of 4 to {HIGHEST_COST}")
    return value


HeaderValue = Annotated[str, BeforeValidator(_write_number), AfterValidator(_check_header)]
Users = dict[
    Annotated[str, AfterValidator(_check_user)], Annotated[SecretStr, AfterValidator(_check_hash)]
]


class Headers(Section):
    """The headers that the toolkit lets users set. Empty ones are not sent."""

    content_security_policy: HeaderValue | None = Field(
        default=None, alias="Content-Security-Policy"
    )
    x_frame_options: Literal["deny", "sameorigin", ""] | None = Field(
        default=None, alias="X-Frame-Options"
    )
    x_content_type_options: Literal["nosniff", ""] | None = Field(
        default=None, alias="X-Content-Type-Options"
    )
    x_xss_protection: HeaderValue | None = Field(default=None, alias="X-XSS-Protection")
    strict_transport_security: HeaderValue | None = Field(
        default=None, alias="Strict-Transport-Security"
    )

    @cached_property
    def by_name(self) -> Mapping[str, str]:
        """The headers by name. Cached, because every answer has them."""
        return self.model_dump(by_alias=True, exclude_none=True)


class HTTPServerConfig(WebSection):
    """HTTP. `http2` is accepted because most files set it; HTTP/1.1 is served in any case."""

    http2: bool = True
    headers: Headers = Field(default_factory=Headers)


class RateLimit(WebSection):
    """One request every `interval` seconds and `burst` at once; no limit without an interval."""

    interval: Annotated[float, BeforeValidator(_parse_interval)] = 0
    burst: WholeNumber = Field(default=0, ge=0, validate_default=True)

    @field_validator("burst")
    @classmethod
    def _check_burst(cls, burst: int, info: ValidationInfo) -> int:
        # The toolkit accepts this, and then refuses every request.
        if not burst and info.data.get("interval"):
            raise expect("at least 1: with 0 every request is refused")
        return burst


class WebConfig(WebSection):
    """A web configuration. An empty one asks for neither TLS nor passwords."""

    tls_server_config: TLSServerConfig = Field(default_factory=TLSServerConfig)
    http_server_config: HTTPServerConfig = Field(default_factory=HTTPServerConfig)
    basic_auth_users: Users = Field(default_factory=dict, repr=False)
    rate_limit: RateLimit = Field(default_factory=RateLimit)
