from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_pool_exporter.settings.errors import SettingsErrors
from sqlalchemy_pool_exporter.settings.yaml_file import Document, read_document

CANARY = "canary"


def read(folder: Path, text: str | bytes) -> Document:
    file = folder / "exporter.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_document(file)


def complain(folder: Path, text: str | bytes) -> list[str]:
    with pytest.raises(SettingsErrors) as caught:
        read(folder, text)
    assert caught.value.__cause__ is None
    return [str(error).replace(f"{folder}/", "") for error in caught.value.errors]


def test_a_document_has_the_lines_of_its_values(tmp_path: Path) -> None:
    document = read(tmp_path, "a: 1\nb:\n  c: [x, {d: 2}]\n  'e': null\n")
    assert document.data == {"a": 1, "b": {"c": ["x", {"d": 2}], "e": None}}
    assert document.origins[("a",)] == "line 1"
    assert document.origins[("b", "c")] == "line 3"
    assert document.origins[("b", "c", "1", "d")] == "line 3"
    assert document.origins[("b", "e")] == "line 4"


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = "base: &base {x: 1, y: 1}\na: {<<: *base, y: 2}\nb: {<<: [*base, *base]}\n"
    assert read(tmp_path, text).data["a"] == {"x": 1, "y": 2}


TOO_MUCH = (
    "exporter.yaml: more than 100000 values with all aliases expanded, "
    "expected fewer values, and no alias inside its own anchor"
)


@pytest.mark.parametrize("text", ["a: &a {b: *a}", "a: &a [*a]", "a: &a {<<: *a}"])
def test_an_alias_inside_its_own_anchor_is_an_error(tmp_path: Path, text: str) -> None:
    assert complain(tmp_path, text) == [TOO_MUCH]


@pytest.mark.parametrize("many", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path, many: str) -> None:
    lines = ["a0: &a0 {x: 1}"]
    for number in range(20):
        aliases = ", ".join([f"*a{number}"] * 9)
        lines.append(f"a{number + 1}: &a{number + 1} {many.format(aliases)}")
    assert complain(tmp_path, "\n".join(lines)) == [TOO_MUCH]


def test_an_endless_file_is_an_error() -> None:
    with pytest.raises(SettingsErrors, match="/dev/zero: larger than 1048576 bytes"):
        read_document(Path("/dev/zero"))


VALID_YAML = "expected valid YAML (values with a colon or other special characters need quotes)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b: c", f"exporter.yaml:1:5: mapping values are not allowed here, {VALID_YAML}"),
        (
            "a:\n  - x\n b: y",
            "exporter.yaml:3:2: while parsing a block mapping in line 1: expected <block end>, "
            f"but found '<block mapping start>', {VALID_YAML}",
        ),
        (
            f"a: 'x{CANARY}",
            "exporter.yaml:1:12: while scanning a quoted scalar in line 1: "
            f"found unexpected end of stream, {VALID_YAML}",
        ),
        (f"a: *{CANARY}", f"exporter.yaml:1:4: found undefined alias ***, {VALID_YAML}"),
        (
            f"a: !{CANARY} x",
            f"exporter.yaml:1:4: could not determine a constructor for the tag ***, {VALID_YAML}",
        ),
        (
            f"a: !{CANARY}'s x",
            f"exporter.yaml:1:4: could not determine a constructor for the tag ***, {VALID_YAML}",
        ),
        (
            "? [a]\n: b",
            "exporter.yaml:1:3: while constructing a mapping in line 1: found unhashable key, "
            f"{VALID_YAML}",
        ),
        (
            "a: 2024-99-99",
            f"exporter.yaml:1:4: a date or number that does not exist, {VALID_YAML}",
        ),
        *(
            (
                f"a: {value}",
                f"exporter.yaml:1:4: a date or number that does not exist, {VALID_YAML}",
            )
            for value in ("!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "9" * 5000)
        ),
        (
            "1: x",
            "exporter.yaml:1:1: a key that YAML reads as int, expected text: put the key in quotes",
        ),
        (
            "a: {on: x}",
            "exporter.yaml:1:5: a key that YAML reads as bool, expected text: put the key "
            "in quotes",
        ),
        (
            "{{ a }}: b",
            "exporter.yaml:1:1: while constructing a mapping in line 1: found unhashable key, "
            f"{VALID_YAML}",
        ),
        (
            f"a:\n  b:\t'{CANARY}'",
            "exporter.yaml:2:5: while scanning for the next token: found character '\\t' that "
            f"cannot start any token, {VALID_YAML}",
        ),
        ("[" * 5000, f"exporter.yaml: nested too deep, {VALID_YAML}"),
        ("", "exporter.yaml: empty, expected settings, at least `databases:`"),
        ("# nothing\n", "exporter.yaml: empty, expected settings, at least `databases:`"),
        ("- a", "exporter.yaml: got a list, expected settings, at least `databases:`"),
        ("1", "exporter.yaml: got a number, expected settings, at least `databases:`"),
        (CANARY, "exporter.yaml: got text, expected settings, at least `databases:`"),
        (b"a: \xff", "exporter.yaml:1:4: not UTF-8, expected text in UTF-8"),
        (
            "a: \0",
            "exporter.yaml:1:4: character 0x0, expected text without control characters",
        ),
    ],
)
def test_an_invalid_document_is_an_error_with_its_place(
    tmp_path: Path, text: str | bytes, line: str
) -> None:
    assert complain(tmp_path, text) == [line]


def test_every_repeated_key_is_an_error(tmp_path: Path) -> None:
    text = f"a: {{x: 1, x: 2}}\nb: 1\na: 2\n'{CANARY}://': 1\n'{CANARY}://': 2\n"
    assert sorted(complain(tmp_path, text)) == [
        "exporter.yaml:1:11: a.x for the second time, expected each key once "
        "(it is also in line 1)",
        "exporter.yaml:3:1: a for the second time, expected each key once (it is also in line 1)",
        "exporter.yaml:5:1: *** for the second time, expected each key once (it is also in line 4)",
    ]


def test_a_missing_file_or_a_folder_is_an_error(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no", "no such file or directory"), (tmp_path, "is a dir")):
        with pytest.raises(
            SettingsErrors, match=f"{path}: {reason}.*expected a readable YAML file"
        ):
            read_document(path)


@given(st.text())
def test_any_text_is_a_document_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for prefix in ("", "databases: ", "a: {", "a: &b\n  c: "):
        file = folder / "any.yaml"
        file.write_text(prefix + text, "utf-8", errors="replace", newline="")
        try:
            document = read_document(file)
        except SettingsErrors as errors:
            assert errors.errors  # noqa: PT017 - either outcome is right
        else:
            assert isinstance(document.data, dict)
