r"""The replacements that copy env and volumeMounts into an application's container.

kustomize patches a list by names, and nobody here knows the container's; replacements take numbers,
too. They have no conditions, but three habits stand in for them:

- What is in brackets is a regular expression. Where nothing matches, an element is created with
  the expression itself as its name, and looked for once more: it has to match itself.
- Such a name tells later on that there was no such variable.
- A path that matches nothing is an error. DIR, which is always there and put right in the end,
  stands in for what may be missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deploy.sidecar import Part

SOURCE: Final = {"kind": "Pod", "name": "pool-exporter"}
DIR: Final = "SQLALCHEMY_POOL_METRICS_DIR"
APP: Final = "SQLALCHEMY_POOL_METRICS_APP"
PATH: Final = "PYTHONPATH"
# Into a text that is split at the delimiter: before everything, and in place of its first part.
_PREFIX: Final = {"delimiter": ":", "index": -1}
_FIRST_PART: Final = {"delimiter": "^", "index": 0}


def build_replacements(selects: Sequence[Mapping[str, str]], folder: str, mount: str) -> list[Part]:
    """Returns them in their order, for what the selectors select.

    `folder` is the agent's, `mount` where the volume is mounted.
    """

    def copy(field: str, *targets: Part) -> Part:
        return {
            "source": {**SOURCE, "fieldPath": f"spec.containers.0.{field}"},
            "targets": [{"select": {**each}, **target} for target in targets for each in selects],
        }

    return [
        copy(_one(DIR), _to(_ours(DIR))),
        # The folder goes before what is there. Where nothing is, the colon has to go again: an
        # empty part means the current folder. With that colon it stands in quotes.
        copy(f"{_one(PATH)}.name", _to(f"{_ours(PATH)}.name")),
        copy(
            f"{_one(PATH)}.value",
            _to(f"env.[name=^{PATH}$].value", **_PREFIX),
            _to(f"env.[name=^{DIR}$].value"),
            _to(rf"env.[value=^\W?{folder}:?\W?$].value"),
        ),
        # A name that somebody gave stays: valueFrom goes only to what has been created here.
        copy(f"{_one(APP)}.name", _to(f"{_ours(APP)}.name", **_FIRST_PART)),
        copy(f"{_one(APP)}.valueFrom", _to(rf"env.[name=^{APP}\^|^{DIR}$].valueFrom")),
        copy(f"{_one(APP)}.name", _to(rf"env.[name=^{APP}$|^{APP}\^].name")),
        copy(_one(DIR), _to(f"env.[name=^{DIR}$]")),
        copy("volumeMounts.0", _to(rf"volumeMounts.[mountPath=^{mount}$|^\^{mount}]")),
    ]


def _one(name: str) -> str:
    return f"env.[name={name}]"


def _ours(name: str) -> str:
    return rf"env.[name=^{name}$|^\^{name}]"


def _to(field: str, **options: Any) -> Part:
    path = f"spec.template.spec.containers.0.{field}"
    return {"fieldPaths": [path], "options": {"create": True, **options}}
