from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.settings.document import Document, read_document
from exporter.settings.errors import SettingsErrors

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


def test_a_document_knows_where_its_values_stand(tmp_path: Path) -> None:
    document = read(tmp_path, "a: 1\nb:\n  c: [x, {d: 2}]\n  'e': null\n")
    assert document.data == {"a": 1, "b": {"c": ["x", {"d": 2}], "e": None}}
    assert document.origins[("a",)] == "line 1"
    assert document.origins[("b", "c")] == "line 3"
    assert document.origins[("b", "c", "1", "d")] == "line 3"
    assert document.origins[("b", "e")] == "line 4"


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = "base: &base {x: 1, y: 1}\na: {<<: *base, y: 2}\nb: {<<: [*base, *base]}\n"
    assert read(tmp_path, text).data["a"] == {"x": 1, "y": 2}


def test_a_document_may_contain_itself(tmp_path: Path) -> None:
    assert "a" in read(tmp_path, "a: &a {b: *a}").data


VALID_YAML = "expected valid YAML (values with a colon or other special characters need quotes)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b: c", f"exporter.yaml:1:5: mapping values are not allowed here, {VALID_YAML}"),
        (
            "a:\n  - x\n b: y",
            "exporter.yaml:3:2: while parsing a block mapping: expected <block end>, but found "
            f"'<block mapping start>', {VALID_YAML}",
        ),
        (
            f"a: 'x{CANARY}",
            "exporter.yaml:1:12: while scanning a quoted scalar: found unexpected end of stream, "
            f"{VALID_YAML}",
        ),
        (f"a: *{CANARY}", f"exporter.yaml:1:4: found undefined alias ***, {VALID_YAML}"),
        (
            f"a: !{CANARY} x",
            "exporter.yaml:1:4: could not determine a constructor for the tag ***, " + VALID_YAML,
        ),
        (
            "? [a]\n: b",
            "exporter.yaml:1:3: while constructing a mapping: found unhashable key, " + VALID_YAML,
        ),
        (
            "a: 2024-99-99",
            f"exporter.yaml: a date or number that does not exist, {VALID_YAML}",
        ),
        ("a:\n\tb: 1", "exporter.yaml:2:1: a tab, expected spaces, not tabs"),
        (f"a:\n  b:\t'{CANARY}'", "exporter.yaml:2:5: a tab, expected spaces, not tabs"),
        ("[" * 5000, f"exporter.yaml: nested too deep, {VALID_YAML}"),
        ("", "exporter.yaml: empty, expected settings, at least `databases:`"),
        ("# nothing\n", "exporter.yaml: empty, expected settings, at least `databases:`"),
        ("- a", "exporter.yaml: no mapping, expected settings, at least `databases:`"),
        (CANARY, "exporter.yaml: no mapping, expected settings, at least `databases:`"),
        (b"a: \xff", "exporter.yaml: not UTF-8, expected text in UTF-8"),
        (
            "a: \0",
            "exporter.yaml: character 0x0 at position 3, expected text without control characters",
        ),
    ],
)
def test_a_file_that_is_no_document_is_an_error_that_says_where(
    tmp_path: Path, text: str | bytes, line: str
) -> None:
    assert complain(tmp_path, text) == [line]


def test_every_repeated_key_is_an_error(tmp_path: Path) -> None:
    text = f"a: {{x: 1, x: 2}}\nb: 1\na: 2\n'{CANARY}://': 1\n'{CANARY}://': 2\n"
    assert sorted(complain(tmp_path, text)) == [
        "exporter.yaml:1:11: a.x for the second time, expected each key once "
        "(it stands in line 1, too)",
        "exporter.yaml:3:1: a for the second time, expected each key once "
        "(it stands in line 1, too)",
        "exporter.yaml:5:1: *** for the second time, expected each key once "
        "(it stands in line 4, too)",
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
