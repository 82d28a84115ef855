"""GET /metrics: all metrics, from memory; a scrape never touches a database."""

from functools import lru_cache

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from sqlalchemy_pool_exporter.collectors.exposition import (
    Scrape,
    accepts_gzip,
    choose_exposition,
    compress,
)
from sqlalchemy_pool_exporter.web.responses import read_service


async def answer_metrics(request: Request) -> Response:
    """Answer in the format the client prefers, with all families or those that `name[]` names."""
    service = read_service(request)
    exposition = choose_exposition(read_list(request, "accept"))
    scrape = Scrape(exposition, read_names(request.scope["query_string"]))
    is_gzip = accepts_gzip(read_list(request, "accept-encoding"))

    def render() -> bytes:
        body = service.collectors.render(scrape)
        return compress(body) if is_gzip else body

    headers = {"Content-Type": exposition.content_type, "Vary": "Accept, Accept-Encoding"}
    if is_gzip:
        headers["Content-Encoding"] = "gzip"
    body = await service.render_queue.render((scrape, is_gzip), render)
    return Response(body, headers=headers)


@lru_cache(maxsize=64)
def read_names(query: bytes) -> frozenset[str]:
    """Return the values of `name[]`. Cached, because a client sends the same ones again."""
    return frozenset(QueryParams(query).getlist("name[]"))


def read_list(request: Request, header: str) -> str:
    """Return a header's value; a list may come as several headers."""
    return ", ".join(request.headers.getlist(header))
