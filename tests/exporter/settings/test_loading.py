from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_pool_exporter.settings import (
    PoolClass,
    Role,
    Settings,
    SettingsErrors,
    load_bootstrap,
    load_settings,
    load_without_databases,
)
from sqlalchemy_pool_exporter.settings.yaml_file import Document

CANARY = "canary"
DIR = "POOL_EXPORTER_SECRETS_DIR"
URL = "postgres://app@db/orders"
VALID = {"POOL_EXPORTER_DATABASES__A__URL": "sqlite://"}


def load(folder: Path, text: str, **variables: str) -> Settings:
    file = folder / "exporter.yaml"
    file.write_text(text)
    return load_settings(file, {f"POOL_EXPORTER_{key}": value for key, value in variables.items()})


def complain(folder: Path, text: str, **variables: str) -> list[str]:
    with pytest.raises(SettingsErrors) as caught:
        load(folder, text, **variables)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    return str(caught.value).splitlines()


def test_one_variable_is_a_whole_configuration() -> None:
    settings = load_settings(None, {"POOL_EXPORTER_DATABASES__PRIMARY__URL": URL})
    assert list(settings.databases) == ["primary"]
    assert settings.listen == "0.0.0.0:9723"
    assert (settings.log.level, settings.log.format) == ("info", "text")
    assert settings.web.enable_lifecycle is False
    assert (settings.app.dir, settings.app.per_process) == (None, False)


@pytest.mark.parametrize("level", ["WARNING", "Warning", "warning"])
def test_log_level_and_format_may_have_any_case(level: str) -> None:
    variables = {"POOL_EXPORTER_LOG__LEVEL": level, "POOL_EXPORTER_LOG__FORMAT": "JSON"}
    settings = load_settings(None, {**VALID, **variables})
    assert (settings.log.level, settings.log.format) == ("warning", "json")


def test_an_empty_databases_section_means_no_databases(tmp_path: Path) -> None:
    assert complain(tmp_path, "databases:\n") == [
        "databases (line 1): missing, expected at least one database, or app.dir"
    ]
    assert load(tmp_path, "databases:\napp: {dir: /run/app}\n").databases == {}


def test_a_file_can_set_every_section(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        listen: "[::1]:9000"
        log: {level: debug, format: json}
        probe: {interval: 30s, query: SELECT 2}
        databases:
          primary:
            url: postgres://app@db/orders
            role: primary
            pool: {class: null}
            statement_timeout: 2s
            labels: {team: orders}
            server_metrics: no
            connect_args: {timeout: 3}
          replica:
            url: mysql://app@db/orders
            probe: {timeout: 10s}
        app: {dir: /run/pools, per_process: true}
        web: {enable_lifecycle: true}
        """,
    )
    primary, replica = settings.databases["primary"], settings.databases["replica"]
    assert primary.role is Role.PRIMARY
    assert primary.pool.pool_class is PoolClass.NULL
    assert (primary.statement_timeout, primary.server_metrics) == (2, False)
    assert (primary.labels, primary.connect_args) == ({"team": "orders"}, {"timeout": 3})
    assert (replica.probe.interval, replica.probe.timeout) == (30, 10)
    assert replica.probe.query == "SELECT 2"
    assert settings.app.dir == Path("/run/pools")


def test_the_environment_wins_over_the_secrets_directory_and_that_over_the_file(
    tmp_path: Path,
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "POOL_EXPORTER_LISTEN").write_text(":2")
    (secrets / "POOL_EXPORTER_LOG__LEVEL").write_text("warning")
    text = f"listen: ':1'\nlog: {{level: error, format: json}}\ndatabases: {{a: {{url: '{URL}'}}}}"
    settings = load(tmp_path, text, SECRETS_DIR=str(secrets), LISTEN=":3")
    assert settings.listen == ":3"
    assert (settings.log.level, settings.log.format) == ("warning", "json")


def test_a_variable_matches_a_database_regardless_of_case_and_hyphens(tmp_path: Path) -> None:
    text = "databases: {Orders-Replica: {url_file: /run/secrets/url, role: replica}}"
    settings = load(tmp_path, text, DATABASES__ORDERS_REPLICA__URL=URL)
    database = settings.databases["Orders-Replica"]
    assert database.role is Role.REPLICA
    assert database.url_file is None
    assert database.read_url().database == "orders"


def test_a_url_file_in_a_variable_replaces_the_url_of_the_file(tmp_path: Path) -> None:
    text = f"databases: {{a: {{url: '{URL}'}}}}"
    settings = load(tmp_path, text, DATABASES__A__URL_FILE="/run/secrets/url")
    assert settings.databases["a"].url is None


def test_a_url_in_a_variable_replaces_the_url_file_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "POOL_EXPORTER_DATABASES__A__URL_FILE").write_text("/run/secrets/url")
    (tmp_path / "POOL_EXPORTER_DATABASES__A__ROLE").write_text("replica")
    variables = {
        "POOL_EXPORTER_SECRETS_DIR": str(tmp_path),
        "POOL_EXPORTER_DATABASES__A__URL": URL,
    }
    database = load_settings(None, variables).databases["a"]
    assert (database.url_file, database.role) == (None, Role.REPLICA)


def test_a_secret_matches_a_database_regardless_of_case_and_hyphens(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "pool_exporter_databases__orders-replica__url").write_text(URL)
    text = "databases: {Orders_Replica: {role: replica}}"
    assert list(load(tmp_path, text, SECRETS_DIR=str(secrets)).databases) == ["Orders_Replica"]


def test_only_the_environment_that_is_given_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOL_EXPORTER_LISTEN", ":1")
    databases = {"a": {"url": "sqlite://"}}
    assert load_settings(None, VALID).listen == "0.0.0.0:9723"
    assert Settings.model_validate({"databases": databases}).listen == "0.0.0.0:9723"


def test_pydantic_settings_logs_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
    caplog.set_level(logging.DEBUG)
    load(tmp_path, f"databases: {{a: {{url: 'sqlite://', connect_args: {{x: {CANARY}}}}}}}")
    assert CANARY not in caplog.text


def test_the_applications_folder_alone_is_enough() -> None:
    assert load_settings(None, {"POOL_EXPORTER_APP__DIR": "/run/pools"}).databases == {}


def test_neither_database_nor_application_is_an_error() -> None:
    with pytest.raises(SettingsErrors) as caught:
        load_settings(None, {})
    assert str(caught.value) == "databases: missing, expected at least one database, or app.dir"


def test_an_error_names_its_variable_or_line(tmp_path: Path) -> None:
    text = f"databases:\n  a:\n    url: {URL}\n    pool:\n      size: many\n    probe:\n"
    lines = complain(tmp_path, text, DATABASES__A__ROLE="master", LISTN="x")
    assert lines == [
        "databases.a.role (POOL_EXPORTER_DATABASES__A__ROLE): got 'master', "
        "expected 'primary', 'replica' or 'any'",
        "databases.a.pool.size (line 5): got 'many', expected a valid integer, "
        "unable to parse string as an integer",
        "databases.a.probe (line 6): got null, expected a mapping",
        "listn (POOL_EXPORTER_LISTN): unknown key, expected one of listen, log, probe, databases, "
        "app, metrics, web: did you mean listen?",
    ]


def test_an_error_names_its_secret(tmp_path: Path) -> None:
    (tmp_path / "pool_exporter_log__level").write_text("loud")
    environ = {"POOL_EXPORTER_SECRETS_DIR": str(tmp_path), **VALID}
    with pytest.raises(SettingsErrors) as caught:
        load_settings(None, environ)
    assert str(caught.value) == (
        "log.level (POOL_EXPORTER_LOG__LEVEL): got 'loud', "
        "expected 'debug', 'info', 'warning' or 'error'"
    )


def test_a_variable_below_a_plain_value_is_an_error(tmp_path: Path) -> None:
    text = f"databases: {{a: {{url: '{URL}'}}}}"
    assert complain(tmp_path, text, LISTEN__HOST="::", LOGGING__LEVEL="debug", PROBE="4711") == [
        "listen (POOL_EXPORTER_LISTEN__HOST): got a mapping, expected host:port like "
        "0.0.0.0:9723 or [::1]:9723, without http:// and path, port at most 65535",
        "probe (POOL_EXPORTER_PROBE): got text, expected a mapping",
        "logging (POOL_EXPORTER_LOGGING__LEVEL): unknown key, expected one of listen, log, probe, "
        "databases, app, metrics, web: did you mean log?",
    ]


def test_a_key_in_capitals_or_of_digits_is_unknown(tmp_path: Path) -> None:
    text = f"databases: {{a: {{url: '{URL}'}}}}\nLISTEN: ':1'\n'5': x\n_env_file: x"
    known = "expected one of listen, log, probe, databases, app, metrics, web"
    assert complain(tmp_path, text) == [
        f"LISTEN (line 2): unknown key, {known}: did you mean listen?",
        f"*** (line 3): unknown key, {known}",
        f"_env_file (line 4): unknown key, {known}: did you mean web.config_file?",
    ]


def test_invalid_defaults_for_probes_are_reported_once(tmp_path: Path) -> None:
    text = (
        "probe: {interval: often}\n"
        f"databases: {{a: {{url: '{URL}'}}, b: {{url: '{URL}', probe: {{timeout: 1m}}}}}}"
    )
    assert complain(tmp_path, text) == [
        "probe.interval (line 1): got 'often', expected a duration like 500ms, 15s, 5m or 1h"
    ]


def test_a_database_overrides_the_defaults_for_probes_key_by_key(tmp_path: Path) -> None:
    text = (
        "probe: {interval: 30s, timeout: 3s}\n"
        f"databases: {{a: {{url: '{URL}', probe: {{interval: 10s}}}}, b: {{url: '{URL}'}}}}"
    )
    databases = load(tmp_path, text).databases
    times = {name: (each.probe.interval, each.probe.timeout) for name, each in databases.items()}
    assert times == {"a": (10, 3), "b": (30, 3)}


def test_a_number_in_place_of_a_url_is_not_shown(tmp_path: Path) -> None:
    assert complain(tmp_path, "databases: {a: {url: 4711}}") == [
        "databases.a.url (line 1): got a number, expected a valid string"
    ]


def test_settings_can_be_built_from_settings() -> None:
    one = load_settings(None, {"POOL_EXPORTER_DATABASES__A__URL": URL})
    again = Settings(databases=one.databases, probe=one.probe)
    assert again.databases == one.databases


def test_a_url_in_place_of_a_mapping_is_not_shown(tmp_path: Path) -> None:
    url = f"postgres://app:{CANARY}@db/orders"
    assert complain(tmp_path, f"databases: {{a: '{url}'}}") == [
        "databases.a (line 1): got text, expected a mapping, at least with url"
    ]
    assert complain(tmp_path, f"databases: '{url}'\nlog: '{url}'") == [
        "log (line 2): got text, expected a mapping",
        "databases (line 1): got text, expected a mapping",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "databases: {a: {url: 'nope://app:CANARY@db'}}",
        "databases: {a: {url: 'postgres://app:x/CANARY@db:y'}}",
        "databases: {a: {url: 'postgres://app@db?password=CANARY&sslmode=x'}}",
        "databases: {a: {url: 'CANARY'}}",
        "databases: {a: {url: [CANARY]}}",
        "databases: {a: {url: {x: CANARY}}}",
        "databases: {a: {ulr: 'postgres://app:CANARY@db'}}",
        "databases: {a: {url: 'sqlite://', password: CANARY}}",
        "databases: {a: {url: 'sqlite://', connect_args: CANARY}}",
        "databases: {a: {url: 'sqlite://', connect_args: [CANARY]}}",
        "databases: {a: {url: 'sqlite://', pool: 'postgres://app:CANARY@db'}}",
        "databases: {a: {url: 'sqlite://', pool: {size: 'app:CANARY@db'}}}",
        "databases: {a: {url: 'sqlite://', url_file: 'postgres://app:CANARY@db'}}",
        "databases: {a: {url: 'sqlite://', role: 'password=CANARY'}}",
        "databases: {'postgres://app:CANARY@db': {url: 'sqlite://'}}",
        "databases: {a: {'postgres://app:CANARY@db': null}}",
        "databases: ['postgres://app:CANARY@db']",
        "databases: 'postgres://app:CANARY@db'",
        "'postgres://app:CANARY@db'",
        "'postgres://app:CANARY@db': 1",
        "postgres://app:CANARY@db",
        "databases: {a: {url: postgres://app:CANARY@db, pool: {{}}",
        "databases:\n  a:\n    url: 'postgres://app:CANARY@db\n",
        "databases:\n  a:\n    url: *CANARY\n",
        "databases:\n  a:\n    url: !CANARY x\n",
        "databases:\n  a:\n    url: @CANARY\n",
        "databases:\n  a:\n    url: postgres://app:CANARY@db: x\n",
        "listen: 'postgres://app:CANARY@db'",
        "log: {level: 'postgres://app:CANARY@db'}",
        "probe: {interval: 'secret CANARY'}",
    ],
)
def test_no_error_shows_a_password(tmp_path: Path, text: str) -> None:
    assert complain(tmp_path, text.replace("CANARY", CANARY))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASES__A__URL", f"nope://app:{CANARY}@db"),
        ("DATABASES__A", f"postgres://app:{CANARY}@db"),
        ("DATABASES", f"postgres://app:{CANARY}@db"),
        ("DATABASE_URL", f"postgres://app:{CANARY}@db"),
        ("URL", f"postgres://app:{CANARY}@db"),
        ("DATABASES__A__URL__X", CANARY),
        ("DATABASES__A__CONNECT_ARGS", CANARY),
        ("DATABASES__A__ROLE", f'{{"x": "{CANARY}"}}'),
        ("LISTEN", f'["{CANARY}"]'),
    ],
)
def test_no_error_shows_a_password_of_a_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsErrors) as caught:
        load_settings(None, {f"POOL_EXPORTER_{name}": value})
    assert CANARY not in "".join(traceback.format_exception(caught.value))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
KEYS = st.sampled_from(
    [
        *("databases", "a", "url", "pool", "class", "size", "probe", "interval", "timeout"),
        *("labels", "listen", "log", "level", "app", "dir", "web", "connect_args", "url_file"),
    ]
)
TREES = st.recursive(
    SCALARS,
    lambda tree: st.lists(tree, max_size=3) | st.dictionaries(KEYS | SCALARS, tree, max_size=4),
    max_leaves=15,
)


@given(TREES)
def test_any_yaml_is_settings_or_errors_in_lines(
    tmp_path_factory: pytest.TempPathFactory, tree: Any
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    for data in (tree, {"databases": tree}, {"databases": {"a": tree}}, {"probe": tree}):
        file.write_text(yaml.safe_dump(data), "utf-8")
        try:
            load_settings(file, {})
        except SettingsErrors as errors:
            assert all(", expected " in line for line in str(errors).splitlines())  # noqa: PT017


def test_lone_surrogates_in_shown_text_are_an_error(tmp_path: Path) -> None:
    r"""They could be written neither on a page nor into metrics; YAML makes them of "\uD800"."""
    text = f'databases: {{a: {{url: "{URL}", labels: {{team: "\\uD800"}}}}}}'
    (line,) = complain(tmp_path, text)
    assert line.startswith("databases.a.labels.team (line 1): ")
    (line,) = complain(tmp_path, f"databases: {{a: {{url: '{URL}'}}}}", APP__DIR="/run/\udce9")
    assert line.startswith("app.dir (POOL_EXPORTER_APP__DIR): got ***, expected a folder")


def test_options_win_over_everything_and_are_named_in_errors(tmp_path: Path) -> None:
    (tmp_path / "exporter.yaml").write_text("listen: ':1'\nweb: {enable_lifecycle: false}\n")
    environ = {**VALID, "POOL_EXPORTER_LISTEN": ":2"}
    options = Document({"listen": ":3"}, {("listen",): "--listen"})
    settings = load_settings(tmp_path / "exporter.yaml", environ, options)
    assert (settings.listen, settings.web.enable_lifecycle) == (":3", False)
    with pytest.raises(SettingsErrors) as caught:
        load_settings(None, environ, Document({"listen": "x"}, options.origins))
    assert str(caught.value).startswith("listen (--listen): got 'x', expected ")


def write(folder: Path, text: str) -> Path:
    file = folder / "exporter.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    "wrong",
    [
        f"databases: {{shop: {{url: '{CANARY}'}}}}",
        "databases: {shop: {url_file: /absent/url, colour: red}}",
        "databases: {'': {}}",
        "databases: 5",
        "databases:\nprobe: {interval: never}",
        'databases: {shop: {url: "\\uD800"}}',
        "",
    ],
)
def test_mistakes_in_databases_do_not_affect_the_rest(wrong: str, tmp_path: Path) -> None:
    text = "app: {dir: /run/pools}\nweb: {config_file: web.yaml}\nlisten: ':1'\nlog: {level: debug}"
    rest = load_without_databases(write(tmp_path, f"{text}\n{wrong}\n"), {})
    assert (rest.app.dir, rest.listen, rest.log.level) == (Path("/run/pools"), ":1", "debug")
    assert rest.web.config_file == Path("web.yaml")
    assert rest.databases == {}


def test_invalid_variables_and_secrets_of_databases_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "POOL_EXPORTER_DATABASES__SHOP__URL").touch()
    (tmp_path / "pool_exporter_databases").touch()
    (tmp_path / "POOL_EXPORTER_PROBE__INTERVAL").touch()
    (tmp_path / "POOL_EXPORTER_WEB__CONFIG_FILE").write_text("web.yaml\n")
    environ = {DIR: str(tmp_path), "POOL_EXPORTER_DATABASES__SHOP__COLOUR": "red"}
    rest = load_without_databases(None, environ)
    assert rest.web.config_file == Path("web.yaml")
    assert rest.databases == {}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("wbe: {config_file: web.yaml}", "wbe"),
        ("web: {config_file: 5}\napp: {dir: ''}", "web.config_file"),
        ('app: {dir: "/run/\\uD800"}', "app.dir"),
        ("databases: {\n", "exporter.yaml"),
    ],
)
def test_mistakes_elsewhere_are_errors(text: str, key: str, tmp_path: Path) -> None:
    file = write(tmp_path, f"{text}\n")
    with pytest.raises(SettingsErrors) as caught:
        load_without_databases(file, {})
    assert key in str(caught.value)


@pytest.mark.parametrize("name", ["POOL_EXPORTER_WEB__CONFIG_FILE", "POOL_EXPORTER_WEB"])
def test_a_secret_that_may_turn_passwords_on_must_be_readable(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SettingsErrors):
            load_without_databases(None, {DIR: str(folder)})


@pytest.mark.parametrize(
    ("text", "environ", "listen"),
    [
        ("listen: ':1'\nwbe: {}\nlog: {level: loud}", {}, ":1"),
        ("listen: ':1'", {"LISTEN": ":2"}, ":2"),
        ("listen: ':1'\n{", {"LISTEN": ":2"}, ":2"),
        ("listen: here", {}, "0.0.0.0:9723"),
        ("{", {"LISTEN": "here"}, "0.0.0.0:9723"),
    ],
)
def test_the_bootstrap_uses_what_is_valid_of_address_and_log(
    text: str, environ: dict[str, str], listen: str, tmp_path: Path
) -> None:
    variables = {f"POOL_EXPORTER_{name}": value for name, value in environ.items()}
    variables |= {DIR: "/absent", "POOL_EXPORTER_LOG": '{"format": "json"}'}
    start = load_bootstrap(write(tmp_path, f"{text}\napp: {{dir: /run}}\n"), variables)
    assert start.listen == listen
    assert start.app.dir is None
    assert start.log.format == "json"
    assert start.log.level == "info"


def test_without_its_file_the_bootstrap_uses_the_environment(tmp_path: Path) -> None:
    start = load_bootstrap(tmp_path / "absent.yaml", {"POOL_EXPORTER_LISTEN": ":2"})
    assert start.listen == ":2"
    with pytest.raises(SettingsErrors, match=r"absent\.yaml"):
        load_without_databases(tmp_path / "absent.yaml", {"POOL_EXPORTER_LISTEN": ":2"})


def test_keys_for_anchors_may_stand_on_top(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        x-pool: &pool {size: 3}
        x-anything: ["${NOT_USED}", 1]
        databases:
          a: {url: sqlite://, pool: *pool}
          b: {url: sqlite://, pool: {<<: *pool, max_overflow: 1}}
        """,
    )
    pools = [database.pool for database in settings.databases.values()]
    assert [(pool.size, pool.max_overflow) for pool in pools] == [(3, 0), (3, 1)]


def test_keys_for_anchors_are_unknown_further_down(tmp_path: Path) -> None:
    with pytest.raises(SettingsErrors, match=r"databases\.a\.x-pool \(line 1\): unknown key"):
        load(tmp_path, "databases: {a: {url: sqlite://, x-pool: {}}}")


def test_what_only_looks_like_a_variable_is_taken(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        databases:
          a:
            url: postgresql://app:pa$word@db/orders
            connect_args: {server_settings: {search_path: $user}, password: "a${b}c"}
            probe: {query: "SELECT '{{1,2},{3,4}}'::int[]"}
            labels: {price: "5$"}
        """,
    )
    assert settings.databases["a"].labels == {"price": "5$"}
