"""Which headers answers get; and HTTP/2, which is allowed and never spoken."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from exporter.settings.errors import expect
from exporter.settings.section import Section
from exporter.web_config.section import WebSection

# Anything else would end the header or could not be sent.
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")


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
