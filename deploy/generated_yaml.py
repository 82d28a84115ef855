"""YAML in a readable style, for generated files."""

from typing import Any, Final

import yaml

# The limit of .yamllint.
_WIDTH: Final = 120


class _Dumper(yaml.SafeDumper):
    """A dumper that indents lists, and repeats equal values instead of using aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - yaml's
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - yaml's
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def render_yaml(value: Any) -> str:
    """Return the value as YAML, with keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=_WIDTH)


def render_comment(text: str) -> str:
    """Return the text as comment lines."""
    return "".join(f"# {line}".rstrip() + "\n" for line in text.strip().splitlines())
