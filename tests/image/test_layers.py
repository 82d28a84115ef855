"""The script that writes the table of layers in the docs."""

from __future__ import annotations

import pytest

from deploy.image.layers import BEGIN, END, build_table, read_history, replace_table

HISTORY = [
    {"CreatedBy": "/bin/sh -c #(nop) ADD file:fff53f42 in / ", "size": 81_000_000},
    {"CreatedBy": "/bin/sh -c apt-get  update  && rm -rf /var/lib/apt/lists/*", "size": 37_640_000},
    {"CreatedBy": "/bin/sh -c #(nop) USER 10001:10001", "size": 0},
]


def test_the_table_has_each_layer_with_its_instruction_and_the_sum() -> None:
    assert build_table("exporter:1", HISTORY).splitlines()[2:] == [
        "| exporter:1 | 118.6 MB |",
        "| `ADD /` | 81.0 MB |",
        "| `RUN apt-get update` | 37.6 MB |",
    ]


def test_only_the_text_between_the_comments_is_replaced() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replace_table(text, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_document_without_the_comments_is_an_error() -> None:
    with pytest.raises(ValueError, match="begin"):
        replace_table("nothing to be replaced", "new")


def test_the_table_has_all_layers_of_the_image(image: str) -> None:
    history = read_history(image)
    size = sum(layer["size"] for layer in history)
    # The sum leaves out layers of settings alone.
    assert build_table("all", history).splitlines()[2] == f"| all | {size / 1_000_000:.1f} MB |"
