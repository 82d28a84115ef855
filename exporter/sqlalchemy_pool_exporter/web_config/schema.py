"""The whole web configuration; it must not know where it is read from."""

import re
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


def _write_number(value: Any) -> Any:
    """`X-XSS-Protection: 1` is a number to YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_value(value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise expect("one line of ASCII text")
    return value.strip()


HeaderValue = Annotated[str, BeforeValidator(_write_number), AfterValidator(_check_value)]


class Headers(Section):
    """The headers that the toolkit lets people choose; an empty one is not sent."""

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

    def list_values(self) -> dict[str, str]:
        """The headers by name; empty is one that is not to be sent."""
        return self.model_dump(by_alias=True, exclude_none=True)


class HTTPServerConfig(WebSection):
    """`http2` is what everybody's files say, and HTTP/1.1 what is served, as for any old client."""

    http2: bool = True
    headers: Headers = Field(default_factory=Headers)


def _parse_interval(value: Any) -> float:
    """A number is nanoseconds to the toolkit and seconds to our settings: neither is meant here."""
    if isinstance(value, int | float) and value != 0:
        raise expect(EXPECTED_DURATION)
    return parse_duration(value)


class RateLimit(WebSection):
    """A request every `interval` seconds, and `burst` of them at once; off without an interval."""

    interval: Annotated[float, BeforeValidator(_parse_interval)] = 0
    burst: WholeNumber = Field(default=0, ge=0, validate_default=True)

    @field_validator("burst")
    @classmethod
    def _check_burst(cls, burst: int, info: ValidationInfo) -> int:
        """To the toolkit this is valid, and then nobody gets an answer."""
        if not burst and info.data.get("interval"):
            raise expect("at least 1: with none no request is ever answered")
        return burst


def _check_name(name: str) -> str:
    if ":" in name:
        # Perhaps a line of htpasswd, hash and all.
        raise expect("a user name, its hash behind the colon", shown="a name with a colon")
    return name


def _check_hash(value: SecretStr) -> SecretStr:
    match = _HASH.fullmatch(value.get_secret_value())
    if match is None:
        raise expect(EXPECTED_HASH)
    if not 4 <= int(match[1]) <= HIGHEST_COST:
        raise expect(f"a bcrypt hash with a cost of 4 to {HIGHEST_COST}")
    return value


Users = dict[
    Annotated[str, AfterValidator(_check_name)], Annotated[SecretStr, AfterValidator(_check_hash)]
]


class WebConfig(WebSection):
    """An empty one asks for neither TLS nor a password."""

    tls_server_config: TLSServerConfig = Field(default_factory=TLSServerConfig)
    http_server_config: HTTPServerConfig = Field(default_factory=HTTPServerConfig)
    basic_auth_users: Users = Field(default_factory=dict, repr=False)
    rate_limit: RateLimit = Field(default_factory=RateLimit)


# Anything else would end the header or could not be sent.
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")


EXPECTED_DURATION: Final = "a duration with its unit like 100ms or 1s, 0 for no limit"


HIGHEST_COST: Final = 20


EXPECTED_HASH: Final = 'a bcrypt hash like $2y$10$... (htpasswd -nBC 10 "")'


_HASH: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
