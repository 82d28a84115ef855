"""What is left of a configuration when its databases, or more of it, cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.settings import SettingsErrors, load_bootstrap, load_without_databases

CANARY = "cAnArY-7"
DIR = "POOL_EXPORTER_SECRETS_DIR"


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
def test_mistakes_in_databases_leave_the_rest_as_it_is(wrong: str, tmp_path: Path) -> None:
    text = "app: {dir: /run/pools}\nweb: {config_file: web.yaml}\nlisten: ':1'\nlog: {level: debug}"
    rest = load_without_databases(write(tmp_path, f"{text}\n{wrong}\n"), {})
    assert (rest.app.dir, rest.listen, rest.log.level) == (Path("/run/pools"), ":1", "debug")
    assert rest.web.config_file == Path("web.yaml")
    assert rest.databases == {}


def test_variables_and_secrets_of_databases_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "POOL_EXPORTER_DATABASES__SHOP__URL").touch()
    (tmp_path / "pool_exporter_databases").touch()
    (tmp_path / "POOL_EXPORTER_PROBE__INTERVAL").touch()
    (tmp_path / "POOL_EXPORTER_WEB__CONFIG_FILE").write_text("web.yaml\n")
    environ = {DIR: str(tmp_path), "POOL_EXPORTER_DATABASES__SHOP__COLOUR": "red"}
    rest = load_without_databases(None, environ)
    assert rest.web.config_file == Path("web.yaml")
    assert rest.databases == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wbe: {config_file: web.yaml}", "wbe"),
        ("web: {config_file: 5}\napp: {dir: ''}", "web.config_file"),
        ('app: {dir: "/run/\\uD800"}', "app.dir"),
        ("databases: {\n", "exporter.yaml"),
    ],
)
def test_mistakes_elsewhere_leave_no_rest(text: str, told: str, tmp_path: Path) -> None:
    file = write(tmp_path, f"{text}\n")
    with pytest.raises(SettingsErrors) as caught:
        load_without_databases(file, {})
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["POOL_EXPORTER_WEB__CONFIG_FILE", "POOL_EXPORTER_WEB"])
def test_what_may_have_asked_for_passwords_has_to_be_readable(name: str, tmp_path: Path) -> None:
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
def test_the_start_uses_of_address_and_log_what_it_can(
    text: str, environ: dict[str, str], listen: str, tmp_path: Path
) -> None:
    variables = {f"POOL_EXPORTER_{name}": value for name, value in environ.items()}
    variables |= {DIR: "/absent", "POOL_EXPORTER_LOG": '{"format": "json"}'}
    start = load_bootstrap(write(tmp_path, f"{text}\napp: {{dir: /run}}\n"), variables)
    assert start.listen == listen
    assert start.app.dir is None
    assert start.log.format == ("text" if "loud" in text else "json")
    assert start.log.level == "info"


def test_a_missing_file_leaves_the_environment(tmp_path: Path) -> None:
    start = load_bootstrap(tmp_path / "absent.yaml", {"POOL_EXPORTER_LISTEN": ":2"})
    assert start.listen == ":2"
    with pytest.raises(SettingsErrors, match=r"absent\.yaml"):
        load_without_databases(tmp_path / "absent.yaml", {"POOL_EXPORTER_LISTEN": ":2"})
