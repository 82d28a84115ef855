"""Splits the text of a database URL, with more tolerance than SQLAlchemy.

Its errors never quote the text, because a password may be anywhere in it.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from sqlalchemy_pool_exporter.redaction import MASK

ENCODE_HINT: Final = "with @ as %40, / as %2F, ? as %3F and : as %3A in the user name and password"

_URL = re.compile(r"(?P<scheme>[A-Za-z]\w*(?:\+\w+)?)://(?P<rest>.*)", re.DOTALL)
# As in SQLAlchemy's make_url(), a password may hold / and ?. Each @ before the next / or ? belongs
# to it, too. A user name may hold a ?, unless parameters seem to follow.
_REST = re.compile(
    r"(?:(?P<login>[^:/?]*(?:\?[^:/=]*)?(?::[^@]*)?(?:@[^/?]*)?)@)?(?P<hosts>[^/?]*)"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
# What make_url() takes for a password in host:port/database?key=a@b.
_NO_PASSWORD = re.compile(r"[0-9]{1,5}(?:/[^?]*)?\?\w+=.*", re.DOTALL)
_FREE_HOST = re.compile(
    r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<name>[^\[\]:][^:]*)?)(?::(?P<port>[0-9]{0,9}))?", re.DOTALL
)
_HOST = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<name>[^\[\]:\s]*))(?::(?P<port>[0-9]{0,9}))?")
# Variables that a shell, Kubernetes, Helm or a configuration management should have replaced.
_VARIABLE = re.compile(r"\$\{\w+(?:[^\w{}][^{}]*)?\}|\$\([\w.-]+\)|\{\{.*\}\}", re.DOTALL)
_BARE_VARIABLE = re.compile(r"\$\w+|%\w+%")
_PARAMETER = re.compile(r"&\w+=")
_SECRET_NAME = re.compile(r"(?i)pass(word|wd|phrase)?$|pwd$|secret|token|^scram_.*_key$")
_SECRET_INSIDE = re.compile(r"(?i)\b(?:password|pwd)\s*=\s*('[^']*'|\{[^}]*\}|[^\s;&]+)")


@dataclass(frozen=True, slots=True)
class Host:
    """Where a server listens: a name, an address or the folder of a unix socket."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name and "/" not in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True, repr=False)
class URLParts:
    """The parts of a URL, percent-decoded.

    `secrets` are its passwords, raw and decoded. A URL that `is_ambiguous` has an @ in the value of
    a parameter: what seems to be host, database and parameters may be the rest of the password.
    """

    backend: str
    driver: str | None
    username: str | None
    password: str | None
    hosts: tuple[Host, ...]
    database: str | None
    query: tuple[tuple[str, str], ...]
    secrets: tuple[str, ...]
    is_ambiguous: bool = False


def split_url(
    text: str,
    file_schemes: Collection[str] = (),
    host_schemes: Collection[str] | None = None,
) -> URLParts:
    """Split `dialect+driver://user:password@host:port,host:port/database?key=value&...`.

    An unencoded @ in the password is understood where it cannot mean anything else.

    Args:
        text: The URL.
        file_schemes: Where the database is a path, which may hold @ and &.
        host_schemes: Where the hosts are names and addresses; None: everywhere. In other schemes
            any text that SQLAlchemy accepts may stand there, such as a connect descriptor.

    Raises:
        URLError: It never shows more than the scheme.
    """
    text = text.strip()
    match = _URL.fullmatch(text)
    if has_variable(text):
        shown = f"{match['scheme'].lower()}://{MASK}" if match else "text"
        expected = f"a URL whose variables were filled in before (a literal $ is {quote('$')})"
        raise URLError.of(f"{shown} with a variable in it", expected)
    if match is None or not _is_printable(text):
        raise _describe_text(text)
    scheme = match["scheme"].lower()
    backend, _, driver = scheme.partition("+")
    rest = _REST.fullmatch(match["rest"])
    if rest is None:
        raise malformed(scheme)
    username, colon, password = (rest["login"] or "").partition(":")
    is_file = backend in file_schemes
    if _NO_PASSWORD.fullmatch(password) or (not is_file and _has_stray_at(rest)):
        raise malformed(scheme)
    if not is_file and _PARAMETER.search(rest["database"] or ""):
        raise URLError.of(f"{scheme}://{MASK} with & before any ?", "? before the first parameter")
    query = tuple(parse_qsl(rest["query"] or ""))
    has_names = host_schemes is None or backend in host_schemes
    return URLParts(
        backend=backend,
        driver=driver or None,
        username=unquote(username) or None,
        password=unquote(password) if colon else None,
        hosts=_split_hosts(
            rest["hosts"], scheme, follows_at=rest["login"] is not None, has_names=has_names
        ),
        database=unquote(rest["database"] or "") or None,
        query=query,
        secrets=collect_secrets(password, *find_secrets(query)),
        is_ambiguous=not is_file and "@" in (rest["query"] or ""),
    )


def has_variable(text: str) -> bool:
    """Return whether the text has a variable in it: ${DATABASE_URL}, $(DATABASE_URL), {{ url }}.

    $NAME and %NAME% only count as the whole text, because passwords have such parts.
    """
    return bool(_VARIABLE.search(text) or _BARE_VARIABLE.fullmatch(text.strip()))


def is_variable(text: str) -> bool:
    """Return whether the text is nothing but a variable, for text that may have one inside.

    $NAME does not count: PostgreSQL's search_path has "$user".
    """
    return bool(_VARIABLE.fullmatch(text.strip()))


def _is_printable(text: str) -> bool:
    """Return whether the text has no control characters; a password may hold any kind of space."""
    return all(each.isprintable() or unicodedata.category(each) == "Zs" for each in text)


def _has_stray_at(rest: re.Match[str]) -> bool:
    """Return whether there is an @ behind the host that may belong to the password.

    It does not in the value of a parameter, unless what follows looks like host and database.
    """
    query = rest["query"] or ""
    _before, at, after = query.rpartition("@")
    is_value = all("=" in part.partition("@")[0] for part in query.split("&") if "@" in part)
    return "@" in (rest["database"] or "") or (bool(at) and ("/" in after or not is_value))


def parse_host(text: str) -> Host | None:
    """Read `name`, `name:port`, `[v6]:port`, a bare IPv6 address or a folder; else return None."""
    decoded = unquote(text)
    if decoded.startswith("/"):
        return Host(decoded)
    if text.count(":") > 1 and "[" not in text:
        return Host(decoded) if _is_ipv6(decoded) else None
    match = _HOST.fullmatch(text)
    port = int(match["port"] or 0) if match else 0
    if match is None or port > 65535:
        return None
    return Host(unquote(match["v6"] or match["name"]), port or None)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def find_secrets(query: tuple[tuple[str, str], ...]) -> list[str]:
    """Return the values of keys like `password`, and passwords in other values (ODBC strings)."""
    secrets = [value for key, value in query if _SECRET_NAME.search(key)]
    for _, value in query:
        secrets += [found.strip("'{}") for found in _SECRET_INSIDE.findall(value)]
    return secrets


def collect_secrets(*passwords: str | None) -> tuple[str, ...]:
    """Return each form that the passwords may have in a driver's message, the longest first."""
    forms = {
        form
        for password in passwords
        if password
        for form in (password, unquote(password), quote(unquote(password), safe=""))
    }
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _split_hosts(text: str, scheme: str, *, follows_at: bool, has_names: bool) -> tuple[Host, ...]:
    if not text:
        return ()
    hosts = [_read_host(part) for part in text.split(",")] if has_names else [_read_free_host(text)]
    if None in hosts:
        # Do not even show the port: in user:pass/word@host it is the start of the password.
        raise _describe_host(scheme) if follows_at else malformed(scheme)
    return tuple(host for host in hosts if host)


def _read_host(text: str) -> Host | None:
    """Read a host like `parse_host`, but IPv6 needs brackets: its last number may be a port."""
    host = parse_host(text)
    is_bare = host is not None and ":" in host.name and "/" not in host.name and "[" not in text
    return None if is_bare else host


def _read_free_host(text: str) -> Host | None:
    """Read the text in place of the host as SQLAlchemy does, without decoding it."""
    match = _FREE_HOST.fullmatch(text)
    port = int(match["port"] or 0) if match else 0
    if match is None or port > 65535:
        return None
    return Host(match["v6"] or match["name"] or "", port or None)


@dataclass(frozen=True, slots=True)
class URLProblem:
    """One mistake: `shown` is the wrong part without secrets, `expected` what belongs there."""

    shown: str
    expected: str

    def __str__(self) -> str:
        return f"got {self.shown}, expected {self.expected}"


class URLError(ValueError):
    """An invalid database URL; `problems` are all mistakes found, at least one."""

    def __init__(self, *problems: URLProblem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems

    @classmethod
    def of(cls, shown: str, expected: str) -> "URLError":
        """Return the error of a single mistake."""
        return cls(URLProblem(shown, expected))


def _describe_text(text: str) -> URLError:
    """Return the error of a text that is not a URL, without quoting any of it."""
    shown = "text that does not begin like postgresql://"
    if not text:
        shown = "empty text"
    elif not text.isprintable():
        shown = "text with a line break or other control characters"
    return URLError.of(shown, "a URL like postgresql://user:password@host:5432/database")


def _describe_host(scheme: str) -> URLError:
    shown = f"{scheme}://{MASK} with a wrong host or port behind the @"
    return URLError.of(shown, "a host like db, db:5432 or [::1]:5432, the port at most 65535")


def malformed(scheme: str) -> URLError:
    """Return the error of a URL that cannot be split, which shows the scheme only."""
    return URLError.of(
        f"{scheme}://{MASK}", f"{scheme}://user:password@host:port/database {ENCODE_HINT}"
    )
