"""Generate invalid configurations: our keys and others with all kinds of values.

Secrets stand only where the exporter expects or recognises them. A password in place of a log level
is shown like any other invalid level.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from sqlalchemy_pool_exporter.settings.messages import list_keys, list_sections
from sqlalchemy_pool_exporter.settings.settings import Settings
from sqlalchemy_pool_exporter.web_config import WebConfig

CANARY = "qUeTzAl-7"
EXAMPLE = (Path(__file__).parents[2] / "config" / "example.yaml").read_text()

HASH = f"$2b$04${CANARY[:-2]}{'x' * 46}"
SECRETS = [
    f"postgresql://app:{CANARY}@127.0.0.1:1/orders",
    f"postgresql+psycopg://app:{CANARY}@127.0.0.1:1,[::1]:2/orders?target_session_attrs=any",
    f"postgres://app:{CANARY}@db/orders?sslmode=on&sslpassword={CANARY}",
    f"postgresql://app:x/{CANARY}@db:x/orders",
    f"postgresql://db/orders?password={CANARY}",
    f"mysql://app:{CANARY}@127.0.0.1:1/orders?ssl_mode=required",
    f"mysql+nope://app:{CANARY}@db",
    f"oracle://app:{CANARY}@db",
    f"sqlite:///orders.db?key={CANARY}@",
    f"://app:{CANARY}@",
    f"app:{CANARY}@db",
    f"host=db password={CANARY}",
    f"token={CANARY}",
]
SOUND = [
    *(
        SECRETS[0],
        SECRETS[1],
        SECRETS[5],
        "sqlite://",
        "sqlite:///x.db",
        "postgresql+psycopg2://db/x",
    ),
    f"postgresql://app:{CANARY}@/x?host=/tmp&sslmode=require&options=-c%20x%3D1",
    f"mysql://app:{CANARY}@db/x?charset=utf8&read_timeout=5",
]
WORDS = [
    *("", " ", "x", "primary", "replica", "any", "queue", "null", "static", "assertion"),
    *("singleton_thread", "debug", "json", "15s", "1h", "500ms", "-5s", "99999d", "0", "-1", "1e9"),
    *("five", "true", "no", "0.0.0.0:9723", ":0", "[::1]:9723", "::1", "SELECT 1", "rollback"),
    *("sqlite://", "sqlite:///x.db", "postgresql://db/x", "mysql://db/x?charset=utf8", "${X}"),
    *(
        "{{ .Values.x }}",
        "~",
        "~nobody/x",
        "/",
        "/dev/null",
        "/no/such",
        "\0",
        "\x1b[31m",
        "\ud800",
    ),
    *("origin", "le", "team", "a" * 5000, "\u202e", "é"),
]
NUMBERS = [
    0,
    1,
    -1,
    5,
    65536,
    2**31,
    2**63,
    10**30,
    10**400,
    0.5,
    1e308,
    float("inf"),
    float("nan"),
]

secrets = st.sampled_from(SECRETS)
scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.integers()
    | st.floats()
    | st.dates()
    | st.binary(max_size=8)
    | st.sampled_from(WORDS)
    | secrets
)
names = st.sampled_from(["primary", "a", "a-b", "a b", "a.b", "1", "x" * 64, *WORDS]) | secrets
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | secrets,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | scalars, inner, max_size=3),
    max_leaves=6,
)
GOOD: dict[str, list[Any]] = {
    "cert_file": ["server.crt", "files/empty"],
    "key_file": ["server.key", "files/password"],
    "key": [CANARY, f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"],
    "client_auth_type": ["NoClientCert", "RequireAndVerifyClientCert", "VerifyClientCertIfGiven"],
    "basic_auth_users": [{"admin": HASH}, {"admin": CANARY}, {"a:b": HASH}, {"admin": HASH[:-1]}],
    "min_version": ["TLS12", "TLS13", "TLS10"],
    "cipher_suites": [["TLS_AES_128_GCM_SHA256"], ["nope"]],
    "headers": [{"X-Frame-Options": "deny"}, {"X-Other": "y"}],
    "rate_limit": [{"interval": "1s", "burst": 20}],
    "url": [*SECRETS, "sqlite://", "postgresql://db/x"],
    "url_file": ["files/url", "files/empty", "files"],
    "password_file": ["files/password", "files/empty"],
    "role": ["primary", "replica", "any"],
    "class": ["queue", "null", "static", "singleton_thread", "assertion"],
    "labels": [{"team": "x"}, {"le": "x"}],
    "connect_args": [{"timeout": 1}, {"password": CANARY}, {"server_settings": {"x": CANARY}}],
    "listen": [":0"],
    "level": ["debug", "INFO"],
    "dir": ["files", "/no/such"],
}


def build_section(section: type[Any]) -> st.SearchStrategy[Any]:
    """Build a section with some of its keys, right or wrong, and sometimes an unknown one."""
    sections = list_sections(section)
    known = {key: build_value(key, sections.get(key)) for key in list_keys(section)}
    return st.fixed_dictionaries({}, optional=known) | st.fixed_dictionaries(
        {}, optional={**known, "unknown": values, "pool_size": values, f"app:{CANARY}@db": values}
    )


def build_value(key: str, section: type[Any] | None) -> st.SearchStrategy[Any]:
    good = st.sampled_from(GOOD.get(key, ["15s", 1, True, "SELECT 1", None]))
    if section is None:
        return good | good | values
    inner = build_section(section)
    if key != "databases":
        return inner | inner | values
    database = inner | inner | build_sound()
    return st.dictionaries(names, database, max_size=3) | values


def build_sound() -> st.SearchStrategy[dict[str, Any]]:
    """Build a valid database."""
    options = {
        "role": st.sampled_from(["primary", "replica", "any"]),
        "pool": st.sampled_from([{"size": 3}, {"class": "null"}, {"recycle": None}, {}]),
        "connect_args": st.just({}) | st.dictionaries(st.text(max_size=5), plain, max_size=2),
        "probe": st.sampled_from(
            [{"interval": "1d"}, {"timeout": 0.5}, {"query": f"SELECT dblink('password={CANARY}')"}]
        ),
        "labels": st.dictionaries(
            st.sampled_from(["team", "_", "a" * 3000]), st.text(max_size=9), max_size=2
        ),
        "statement_timeout": st.sampled_from(["24d", 0.001, None]),
        "server_metrics": st.booleans(),
        "password_file": st.just("files/password"),
    }
    url = st.fixed_dictionaries({"url": st.sampled_from(SOUND)}, optional=options)
    return url | st.fixed_dictionaries({"url_file": st.just("files/url")}, optional=options)


sound = st.fixed_dictionaries(
    {
        "databases": st.dictionaries(
            st.from_regex(r"\A[a-z_][a-z-]{0,5}\Z"), build_sound(), min_size=1
        )
    },
    optional={
        "listen": st.sampled_from([":0", "[::]:0"]),
        "app": st.sampled_from([{"dir": "files"}, {"dir": "files/x", "per_process": True}]),
        "metrics": st.sampled_from([{}, {"probe_pools": False}]),
        "probe": st.sampled_from([{"interval": 1}, {"timeout": "1ms"}]),
    },
)
documents = sound | build_section(Settings)


web_documents = build_section(WebConfig)


@st.composite
def web_texts(draw: st.DrawFn) -> bytes:
    """Web configurations, some of them damaged."""
    text = dump(draw(web_documents))
    return text if draw(st.booleans()) else damage(draw, text)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Documents, some damaged; the example, damaged; other YAML; any text."""
    kind = draw(st.sampled_from(["sound", "document", "damaged", "example", "text", "any"]))
    if kind == "sound":
        return dump(draw(sound))
    if kind == "document":
        return dump(draw(build_section(Settings)))
    if kind == "damaged":
        return damage(draw, dump(draw(documents)))
    if kind == "example":
        return damage(draw, EXAMPLE.encode())
    if kind == "text":
        return draw(st.text(YAML_CHARACTERS, max_size=60)).encode("utf-8", "surrogatepass")
    return draw(st.binary(max_size=60) | alias_bombs())


YAML_CHARACTERS = st.sampled_from(
    [*"ab1 \n\n\n:-?[]{},&*!|>'\"%@`#~<=\t", *"éÿ\u2028\ufeff\0\ud800"]
)


def dump(document: object) -> bytes:
    """Return YAML; endless numbers and invalid characters come from `damage`."""
    try:
        return yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass")
    except (ValueError, yaml.YAMLError):  # a number of more digits than Python writes
        return repr(document).encode("utf-8", "surrogatepass")


def damage(draw: st.DrawFn, text: bytes) -> bytes:
    """Return the text with a part removed, repeated, indented or inserted."""
    for _ in range(draw(st.integers(1, 3))):
        lines = text.split(b"\n")
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[at])
            case 2:
                lines[at] = b" " * draw(st.integers(1, 4)) + lines[at]
            case 3:
                lines[at] = lines[at].lstrip()
            case _:
                column = draw(st.integers(0, len(lines[at])))
                piece = draw(st.sampled_from(PIECES))
                lines[at] = lines[at][:column] + piece + lines[at][column:]
        text = b"\n".join(lines) or text
    return text


PIECES = [
    *(b"\t", b":", b": ", b"'", b'"', b"{", b"}", b"[", b"*a", b"&a ", b"!x ", b"#", b" #", b"- "),
    *(
        b"---\n",
        b"\xff",
        b"\0",
        b"{{ x }}",
        b"${X}",
        b"<<: ",
        b"? ",
        b"|\n",
        b"9" * 40,
        b'"\\uD800"',
    ),
]


@st.composite
def alias_bombs(draw: st.DrawFn) -> bytes:
    """Aliases of aliases, as lists, mappings and merges, at our keys and elsewhere."""
    many, deep = draw(st.integers(1, 12)), draw(st.integers(1, 30))
    kind = draw(st.sampled_from(["[%s]", "{x: [%s]}", "{<<: [%s]}"]))
    lines = [
        "a0: &a0 {url: 'sqlite://'}",
        *(f"a{n + 1}: &a{n + 1} {kind % ', '.join([f'*a{n}'] * many)}" for n in range(deep)),
    ]
    where = draw(st.sampled_from(["databases: %s", "databases: {a: %s}", "log: %s", "x: %s"]))
    return "\n".join([*lines, where % f"*a{deep}"]).encode()


@st.composite
def variables(draw: st.DrawFn) -> dict[str, str]:
    """Environment variables of our keys, of unknown keys and of other programs."""
    paths = [
        "DATABASES",
        "DATABASES__A",
        "LISTEN",
        "LOG",
        "APP__DIR",
        "PROBE__TIMEOUT",
        "SECRETS_DIR",
    ]
    paths += ["WEB__X", "SERVICE_PORT", "", "__", "DATABASES____URL", "DATABASES__A__LABELS__X"]
    keys = [
        "URL",
        "URL_FILE",
        "POOL__SIZE",
        "POOL",
        "LABELS",
        "CONNECT_ARGS",
        "PROBE__INTERVAL",
        "X",
    ]
    paths += [f"DATABASES__A__{key}" for key in keys]
    texts = st.sampled_from(
        [*WORDS, *SECRETS, '{"a": 1}', "[1]", '{"a": {', "[" * 3000, "9" * 5000]
    )
    found = draw(st.dictionaries(st.sampled_from(paths), texts, max_size=3))
    return {f"POOL_EXPORTER_{name}": value.replace("\0", "") for name, value in found.items()}
