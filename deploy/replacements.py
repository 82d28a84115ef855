r"""The kustomize replacements that copy env and volumeMounts into an application's container.

kustomize's patches address list elements by name, and the container's name is unknown here.
Replacements also accept an index. They have no conditions, but three of their properties serve
as such:

- A name in brackets is a regular expression. If nothing matches, kustomize creates an element with
  the expression itself as its name, and searches again: the expression has to match itself.
- Later replacements recognise by such a name that the variable did not exist.
- A path that matches nothing is an error. Paths that may match nothing also match DIR, which always
  exists and gets its right value at the end.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deploy.sidecar import Part

SOURCE: Final = {"kind": "Pod", "name": "pool-exporter"}
DIR: Final = "SQLALCHEMY_POOL_METRICS_DIR"
APP: Final = "SQLALCHEMY_POOL_METRICS_APP"
PATH: Final = "PYTHONPATH"
# How to write into a text split at the delimiter: in front of it, and over its first part.
_PREFIX: Final = {"delimiter": ":", "index": -1}
_FIRST_PART: Final = {"delimiter": "^", "index": 0}


def build_replacements(
    selects: Sequence[Mapping[str, str]], folder: str, mounts: Sequence[str]
) -> list[Part]:
    """Return the replacements in order, for the resources that the selectors match.

    `folder` is the agent's folder, `mounts` are the mount paths of the volumes, in their order.
    """

    def copy(field: str, *targets: Part) -> Part:
        return {
            "source": {**SOURCE, "fieldPath": f"spec.containers.0.{field}"},
            "targets": [{"select": {**each}, **target} for target in targets for each in selects],
        }

    return [
        copy(_one(DIR), _to(_ours(DIR))),
        # Put the folder in front of the existing value. Without one, remove the trailing colon
        # again: an empty part means the current folder. With that colon the value is in quotes.
        copy(f"{_one(PATH)}.name", _to(f"{_ours(PATH)}.name")),
        copy(
            f"{_one(PATH)}.value",
            _to(f"env.[name=^{PATH}$].value", **_PREFIX),
            _to(f"env.[name=^{DIR}$].value"),
            _to(rf"env.[value=^\W?{folder}:?\W?$].value"),
        ),
        # Keep an existing name: set valueFrom only on the variable that was created here.
        copy(f"{_one(APP)}.name", _to(f"{_ours(APP)}.name", **_FIRST_PART)),
        copy(f"{_one(APP)}.valueFrom", _to(rf"env.[name=^{APP}\^|^{DIR}$].valueFrom")),
        copy(f"{_one(APP)}.name", _to(rf"env.[name=^{APP}$|^{APP}\^].name")),
        copy(_one(DIR), _to(f"env.[name=^{DIR}$]")),
        *(
            copy(f"volumeMounts.{n}", _to(rf"volumeMounts.[mountPath=^{mount}$|^\^{mount}\$]"))
            for n, mount in enumerate(mounts)
        ),
    ]


def _one(name: str) -> str:
    return f"env.[name={name}]"


def _ours(name: str) -> str:
    return rf"env.[name=^{name}$|^\^{name}]"


def _to(field: str, **options: Any) -> Part:
    path = f"spec.template.spec.containers.0.{field}"
    return {"fieldPaths": [path], "options": {"create": True, **options}}
