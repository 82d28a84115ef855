"""What can be asked for, as the landing page and the answer to an unknown path list it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

HEALTHY: Final = "/-/healthy"
PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "/": "this overview",
        "/metrics": "metrics for Prometheus",
        "/health/db": "health of all databases, checked now: 200 or 503, as JSON",
        "/health/db/{name}": "health of one database, checked now: 200 or 503, as JSON",
        HEALTHY: "whether the exporter runs, whatever its databases do: 200",
        "/-/ready": "whether the exporter has started: 200 or 503",
        "POST /-/reload": "read the configuration anew, with --web.enable-lifecycle",
        "POST /-/databases/{name}/recreate": (
            "replace the connections of a database's probe, with --web.enable-lifecycle"
        ),
    }
)
