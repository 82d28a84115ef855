"""The arguments of a driver's connect() as a configuration gives them.

YAML reads `off` as a boolean and 1000 as a number, environment variables are text, and no driver
converts them. An `ArgumentType` does where the meaning is certain. It raises UnsuitableError for a
value that the driver would refuse at each attempt to connect.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy_pool_exporter.urls.parameters import FALSE, TRUE, find_unreadable

ArgumentType: TypeAlias = Callable[[Any], Any]

TEXT: Final = "text: put it in quotes"
_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
# Drivers pass many of them to C.
_LARGEST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ArgumentProblem:
    """An argument that a driver would refuse.

    Attributes:
        path: Its name, and the keys inside its value.
        value: What is there, maybe a secret; None for a name that the driver does not know.
        expected: What belongs there.
        is_unknown: Whether the driver does not know the name.
        is_public: Whether the value may be shown, because no secret is of this type.
        is_file: Whether the value may be right where its file can be read.
    """

    path: tuple[str, ...]
    value: Any
    expected: str
    is_unknown: bool = False
    is_public: bool = False
    is_file: bool = False


class UnsuitableError(ValueError):
    """A value that the driver would refuse."""

    def __init__(self, *problems: ArgumentProblem) -> None:
        super().__init__("; ".join(problem.expected for problem in problems))
        self.problems = problems


def convert_arguments(
    types: Mapping[str, ArgumentType],
    is_known: Callable[[str], bool],
    arguments: Mapping[str, Any],
) -> tuple[dict[str, Any], tuple[ArgumentProblem, ...]]:
    """Return the arguments as a driver takes them, and those that it would refuse.

    Arguments that it would refuse stay unchanged.

    Args:
        types: The type of each argument; others are not checked.
        is_known: Whether the driver has an argument of this name that is not in `types`.
        arguments: The arguments.
    """
    converted, problems = dict(arguments), []
    for name, value in arguments.items():
        if name in types:
            try:
                converted[name] = types[name](value)
            except UnsuitableError as error:
                problems += [replace(each, path=(name, *each.path)) for each in error.problems]
        elif not is_known(name):
            problems.append(ArgumentProblem((name,), None, _suggest(name, types), is_unknown=True))
    return converted, tuple(problems)


def accept_any_name(_name: str) -> bool:
    """Return True: the driver cannot be asked for the names of its arguments."""
    return True


def accept_parameters_of(module: str) -> Callable[[str], bool]:
    """Return a function that checks whether a module's connect() has a parameter."""

    def is_known(name: str) -> bool:
        try:
            parameters = inspect.signature(importlib.import_module(module).connect).parameters
        except (ImportError, AttributeError, TypeError, ValueError):  # or compiled
            return True
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        return name in parameters or takes_all

    return is_known


def refuse(value: Any, expected: str, *, is_public: bool = True, is_file: bool = False) -> Any:
    """Raise UnsuitableError."""
    raise UnsuitableError(
        ArgumentProblem((), value, expected, is_public=is_public, is_file=is_file)
    )


def text(value: Any) -> Any:
    """Take text."""
    return (
        value if value is None or isinstance(value, str) else refuse(value, TEXT, is_public=False)
    )


def text_or_number(value: Any) -> Any:
    """Take text, or a number, which the driver converts to text."""
    return value if _is_number(value) else text(value)


def switch(value: Any) -> Any:
    """Take true, false, 0, 1 and the usual words."""
    word = value.strip().lower() if isinstance(value, str) else value
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    if value is None or (isinstance(word, str) and word in TRUE | FALSE):
        return None if value is None else word in TRUE
    return refuse(value, "true or false")


def never(value: Any) -> Any:
    """Take what switches an argument off: the driver does not support it."""
    return value if not value else refuse(value, "false: the driver does not support it")


def integer(value: Any) -> Any:
    """Take whole numbers, and text of one."""
    is_text = isinstance(value, str) and re.fullmatch("-?[0-9]{1,10}", value)
    number = int(value) if is_text else value
    is_whole = isinstance(number, int) and not isinstance(number, bool)
    if not is_whole or not -_LARGEST <= number <= _LARGEST:
        return refuse(value, "a whole number")
    return number


def natural(value: Any) -> Any:
    """Take whole numbers from 0 on, and text of one."""
    number = integer(value)
    return number if number >= 0 else refuse(value, "a whole number from 0 on")


def number(value: Any) -> Any:
    """Take numbers, and text of one."""
    found = float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
    return found if _is_number(found) else refuse(value, "a number without a unit")


def seconds(value: Any) -> Any:
    """Take a number of seconds above zero, and text of one."""
    found = float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
    if not _is_number(found) or not 0 < found <= _LARGEST:
        return refuse(value, "a number of seconds above 0, without a unit")
    return found


def python_object(value: Any) -> Any:
    """Take nothing."""
    return refuse(value, "nothing: only code can give this argument", is_public=False)


def settings_of_session(value: Any) -> Any:
    """Take a mapping of texts; convert numbers to text."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return refuse(value, "a mapping", is_public=False)
    problems = [
        ArgumentProblem((str(key),), each, TEXT, is_public=True)
        for key, each in value.items()
        if not isinstance(each, str) and not _is_number(each)
    ]
    if problems:
        raise UnsuitableError(*problems)
    return {str(key): str(each) for key, each in value.items()}


def one_of(*words: str, also: ArgumentType | None = None) -> ArgumentType:
    """Return a type that takes one of these words, or else what another type takes."""

    def take(value: Any) -> Any:
        if value is None or (isinstance(value, str) and value in words):
            return value
        expected = f"one of {', '.join(words)}"
        if also:
            try:
                return also(value)
            except UnsuitableError as error:
                expected = f"{error.problems[0].expected}, or {expected}"
        return refuse(value, expected)

    return take


def optional(inner: ArgumentType) -> ArgumentType:
    """Return a type that takes null, too."""
    return lambda value: None if value is None else inner(value)


def one_or_more(inner: ArgumentType) -> ArgumentType:
    """Return a type that takes a list, too, each item of which has the inner type."""

    def take(value: Any) -> Any:
        return [inner(each) for each in value] if isinstance(value, list) else inner(value)

    return take


def file(*words: str) -> ArgumentType:
    """Return a type that takes the path of a readable file, or one of these words."""

    def take(value: Any) -> Any:
        if not text(value) or value in words:
            return value
        reason = find_unreadable(Path(value).expanduser())
        if reason is None:
            return value
        return refuse(value, f"a readable file ({reason})", is_public=False, is_file=True)

    return take


def mapping(types: Mapping[str, ArgumentType], example: str) -> ArgumentType:
    """Return a type that takes a mapping with values of these types; other keys are not checked."""

    def take(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            return refuse(value, f"a mapping like {example}", is_public=isinstance(value, bool))
        converted, problems = convert_arguments(types, accept_any_name, value)
        if problems:
            raise UnsuitableError(*problems)
        return converted

    return take


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _suggest(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    question = f": did you mean {nearest[0]}?" if nearest else ""
    return f"an argument of the driver's connect(), or a parameter of the URL{question}"
