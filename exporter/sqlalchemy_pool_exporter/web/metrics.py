"""GET /metrics: all metrics, from memory; a scrape never touches a database."""

from collections.abc import Collection, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from sqlalchemy_pool_exporter.collectors.exposition import accepts_gzip, choose_exposition, compress
from sqlalchemy_pool_exporter.web.responses import read_service


class Selection(Collector):
    """The families with one of these names, or with a sample of one of these names."""

    def __init__(self, families: Collector, names: Collection[str]) -> None:
        self._families = families
        self._names = frozenset(names)

    def collect(self) -> Iterator[Metric]:
        """Yield the selected families whole."""
        for family in self._families.collect():
            names = {family.name, *(sample.name for sample in family.samples)}
            if not self._names.isdisjoint(names):
                yield family


async def answer_metrics(request: Request) -> Response:
    """Answer in the format the client prefers, with all families or those that `name[]` names."""
    service = read_service(request)
    names = frozenset(request.query_params.getlist("name[]"))
    exposition = choose_exposition(read_list(request, "accept"))
    is_gzip = accepts_gzip(read_list(request, "accept-encoding"))

    def render() -> bytes:
        families = Selection(service.registry, names) if names else service.registry
        body = exposition.render(families)
        return compress(body) if is_gzip else body

    headers = {"Content-Type": exposition.content_type, "Vary": "Accept, Accept-Encoding"}
    if is_gzip:
        headers["Content-Encoding"] = "gzip"
    key = exposition.content_type, names, is_gzip
    return Response(await service.render_queue.render(key, render), headers=headers)


def read_list(request: Request, header: str) -> str:
    """Return a header's value; a list may come as several headers."""
    return ", ".join(request.headers.getlist(header))
