"""YAML as people write it, for files that are generated and read."""

from typing import Any, Final

import yaml

# As .yamllint has it.
_WIDTH: Final = 120


class _Dumper(yaml.SafeDumper):
    """Indents lists, and writes what is there twice a second time."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - yaml's
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - yaml's
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def render_yaml(value: Any) -> str:
    """Returns the value as YAML, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=_WIDTH)


def render_comment(text: str) -> str:
    """Returns the text as lines of a comment."""
    return "".join(f"# {line}".rstrip() + "\n" for line in text.strip().splitlines())
