"""The whole web configuration; it must not know where it is read from."""

from pydantic import Field

from exporter.web_config.http import HTTPServerConfig
from exporter.web_config.rate import RateLimit
from exporter.web_config.section import WebSection
from exporter.web_config.tls import TLSServerConfig
from exporter.web_config.users import Users


class WebConfig(WebSection):
    """An empty one asks for neither TLS nor a password."""

    tls_server_config: TLSServerConfig = Field(default_factory=TLSServerConfig)
    http_server_config: HTTPServerConfig = Field(default_factory=HTTPServerConfig)
    basic_auth_users: Users = Field(default_factory=dict, repr=False)
    rate_limit: RateLimit = Field(default_factory=RateLimit)
