"""Strategies for bytes from clients: odd requests, parts of requests, other protocols."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from hypothesis import strategies as st


def build_tls_hello() -> bytes:
    """Return the first bytes of a client that expects HTTPS."""
    answers, says = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(answers, says, server_hostname="exporter")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return says.read()
    raise AssertionError("a handshake needs two")


OTHER_PROTOCOLS = [
    build_tls_hello(),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    b"EHLO exporter\r\n",
    b"GET /metrics\r\n",
    b"\r\n\r\n\r\n",
    b"\0" * 70000,
    b"x" * 70000,
]
METHODS = [
    *("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"),
    *("get", "PRI", "", "G\0T", "G T", "GET" * 3000, "\u00e9", "-", "$(id)"),
]
PATHS = [
    *("/", "/metrics", "/health/db", "/health/db/up", "/health/db/down", "/health/db/%75p"),
    *("/-/healthy", "/-/ready", "/-/reload", "/-/databases/up/recreate"),
    *("/-/databases/down/recreate", "/api/v1/status", "/favicon.ico", "/robots.txt"),
]
ODD_PATHS = [
    *("*", "", "//", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/metrics/", "/./metrics"),
    *(
        "/metrics%00",
        "/%",
        "/%zz",
        "/%ff%fe",
        "/\xff",
        "/m\u00e9trics",
        "/health/db/" + "x" * 15000,
    ),
    *("/health/db/..%2f", "/health/db/%0d%0aX-Injected:%201", "/health/db/<script>", "/a" * 30000),
    *("http://elsewhere/metrics", "exporter:9723", "/metrics#x", "/metrics;x=1", "/\\..\\x", "/ /"),
]
QUERIES = [
    *("", "", "", "?", "?name[]=x", "?name[]=sqlalchemy_pool_up&name[]=", "?name[]=%ff", "?&&&==&"),
    *("?name[]=" + "x" * 9000, "?" + "name[]=x&" * 1500, "?format=%s%n", "?name[]=%00", "?=", "?%"),
]
VERSIONS = [
    *("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9.9", "HTTP/1"),
    *("http/1.1", "HTTP/1.1 ", "", "ICY/1.0", "HTTP/1.1\0", "HTTP/11111111111.1"),
]
NUMBERS = ["0", "1", "5", "-1", "+1", "1e3", "0x10", " 1", "1,1", "", "9" * 30, "\u0661", "100000"]
HEADERS: dict[str, list[str]] = {
    "Host": ["exporter", "", "a b", "[::1", "x" * 300, "evil\0", "a,b", "${jndi:ldap://x}"],
    "Accept": [
        "*/*",
        "text/plain",
        "text/plain;version=0.0.4;q=0.5",
        ";q=x",
        ",,,;;;",
        "a/b;q=1e9",
    ],
    "Accept-Encoding": ["gzip", "gzip;q=0", "*;q=", "identity;q=0,*;q=0", "br, zstd", "gzip;q=nan"],
    "Content-Length": NUMBERS,
    "Transfer-Encoding": ["chunked", "gzip, chunked", "chunked, chunked", "identity", "x", " "],
    "Connection": ["close", "keep-alive", "upgrade", "Host, Accept", ""],
    "Upgrade": ["websocket", "h2c", "TLS/1.0", ""],
    "Expect": ["100-continue", "200-ok"],
    "Range": ["bytes=0-0", "bytes=-9" + "9" * 40, "lines=1"],
    "Cookie": ["a=b", "x" * 9000],
    "If-Modified-Since": ["yesterday"],
    "X-Prometheus-Scrape-Timeout-Seconds": ["10", "0", "-1", "nan", "inf", "1e999", "x", "9" * 400],
    "X-Forwarded-For": ["127.0.0.1", "x" * 900],
    "Origin": ["null"],
    "Content-Type": ["application/json", "multipart/form-data"],
    "Content-Encoding": ["gzip"],
}
AUTHORIZATIONS = [
    *(
        "",
        " ",
        "Basic",
        "Basic ",
        "Basic =",
        "Basic \xff",
        "Bearer x",
        "Digest username=x",
        "basic",
    ),
    *("Basic OnF1", "Basic YWRtaW4=", "Basic YWRtaW46", "Basic Og==", "Basic AAAA", "Basic //8="),
    *("Basic YWRtaW46d3Jvbmc=", "Basic  YWRtaW46d3Jvbmc=", "Basic YWRtaW46d3Jvbmc", "Basic %%%"),
    *(
        "Basic YWRtaW46AAAA",
        "Basic " + "QUFB" * 3000,
        "Basic YWRtaW46d3Jvbmc=, Basic x",
        "x" * 9000,
    ),
]
BODIES = [
    b"",
    b"",
    b"x",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"-1\r\n",
    b"f" * 20 + b"\r\n",
    b"zz\r\n",
]
BODIES += [b"1;" + b"x" * 20000 + b"\r\n", b"\xff" * 100, b"x" * 100000, b'{"a": ' * 2000]
BODY = st.integers(0, 5).flatmap(lambda dice: st.just(b"") if dice else st.sampled_from(BODIES))
# Malformed header lines.
LINES = [
    "no colon",
    ": no name",
    "a b: c",
    "x" * 20000,
    " folded",
    "A\0: b",
    "A: \x01",
    "\xff: \xff",
    "A:",
]

ODD_LINES = st.lists(st.sampled_from(LINES) | st.text(max_size=30), max_size=3) | st.just(
    [f"X-{number}: y" for number in range(2000)]
)


def mostly(usual: Sequence[str], odd: Sequence[str]) -> st.SearchStrategy[str]:
    """Draw a usual value, or an odd one in one of eight cases."""
    return st.integers(0, 7).flatmap(lambda dice: st.sampled_from(usual if dice else odd))


METHOD = mostly(["GET", "GET", "HEAD", "POST", "OPTIONS"], METHODS)
TARGET = mostly(PATHS, ODD_PATHS) | mostly(PATHS, ODD_PATHS) | st.text(max_size=20)
QUERY = mostly(["", "?name[]=sqlalchemy_pool_up"], QUERIES)
VERSION = mostly(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"], VERSIONS)
LINE_END = mostly(["\r\n"], ["\n", "\r", "\r\r\n"])


@st.composite
def heads(draw: st.DrawFn, headers: dict[str, list[str]]) -> bytes:
    lines = [f"{draw(METHOD)} {draw(TARGET)}{draw(QUERY)} {draw(VERSION)}"]
    lines += draw(st.sampled_from([["Host: exporter"]] * 9 + [[]]))
    for name in draw(st.lists(st.sampled_from(sorted(headers)), max_size=3)):
        value = draw(st.sampled_from(headers[name]) | st.sampled_from(headers[name][:1]))
        lines.append(f"{name}: {value}")
    lines += draw(st.integers(0, 7).flatmap(lambda dice: st.just([]) if dice else ODD_LINES))
    return draw(LINE_END).join([*lines, "", ""]).encode("utf-8", "surrogatepass")


@st.composite
def requests(draw: st.DrawFn, headers: dict[str, list[str]]) -> bytes:
    """Draw what one client sends: mostly one or several requests, or a part of them."""
    if not draw(st.integers(0, 11)):
        return draw(st.sampled_from(OTHER_PROTOCOLS) | st.binary(max_size=200))
    count = draw(st.sampled_from([1, 1, 1, 2, 3]))
    data = b"".join(draw(heads(headers)) + draw(BODY) for _ in range(count))
    return data if draw(st.integers(0, 7)) else data[: draw(st.integers(0, len(data)))]


anything = requests(HEADERS | {"Authorization": AUTHORIZATIONS})
intrusions = requests({"Authorization": AUTHORIZATIONS, "Accept": ["*/*"], "Content-Length": ["0"]})
