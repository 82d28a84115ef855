"""The pool of one database: which class, and the options of that class.

It must not know how pools are built.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from sqlalchemy_pool_exporter.settings.errors import expect
from sqlalchemy_pool_exporter.settings.fields import (
    Duration,
    OptionalDuration,
    Section,
    WholeNumber,
)


class PoolClass(StrEnum):
    """SQLAlchemy's pool classes; `queue` is the asyncio one where the driver is."""

    QUEUE = "queue"
    NULL = "null"
    STATIC = "static"
    SINGLETON_THREAD = "singleton_thread"
    ASSERTION = "assertion"


# Connections: no server takes more, and a slip of the keyboard is easily larger.
MOST: Final = 100_000
# All classes take recycle, pre_ping and reset_on_return.
OPTIONS: Final[Mapping[PoolClass, frozenset[str]]] = {
    PoolClass.QUEUE: frozenset({"size", "max_overflow", "timeout", "use_lifo"}),
    PoolClass.SINGLETON_THREAD: frozenset({"size"}),
}


def _read_class(value: Any) -> Any:
    # YAML's null is the name of a class here.
    return PoolClass.NULL if value is None else value


def _read_reset(value: Any) -> Any:
    word = value.lower() if isinstance(value, str) else value
    if word in (None, "none", "null"):
        return None
    if word not in ("rollback", "commit"):
        raise expect("rollback, commit or null")
    return word


class PoolSettings(Section):
    """As in create_engine(), without `pool_` before the names."""

    model_config = ConfigDict(populate_by_name=True)

    pool_class: Annotated[
        PoolClass,
        BeforeValidator(_read_class),
        WithJsonSchema({"enum": [*PoolClass, None]}),
    ] = Field(
        default=PoolClass.QUEUE,
        validation_alias="class",
        serialization_alias="class",
        description="queue, null, static, singleton_thread or assertion",
    )
    size: WholeNumber = Field(
        default=1, ge=0, le=MOST, description="Connections to keep; 0 is without limit"
    )
    max_overflow: WholeNumber = Field(
        default=0,
        ge=-1,
        le=MOST,
        description="Connections beyond size while needed; -1 is without limit",
    )
    timeout: Duration = Field(default=5.0, description="How long to wait for a free connection")
    recycle: OptionalDuration = Field(
        default=None, description="Age at which a connection is replaced; null is never"
    )
    pre_ping: bool = Field(default=True, description="Test a connection before each use")
    use_lifo: bool = Field(default=False, description="Use the connection returned last first")
    reset_on_return: Annotated[
        Literal["rollback", "commit"] | None, BeforeValidator(_read_reset)
    ] = Field(default="rollback", description="rollback, commit or null")

    @field_validator("size", "max_overflow", "timeout", "use_lifo")
    @classmethod
    def _check_class_takes_it(cls, value: Any, info: ValidationInfo) -> Any:
        """Runs for options that are given, not for defaults."""
        pool_class = info.data.get("pool_class")
        if pool_class is None or info.field_name in OPTIONS.get(pool_class, ()):
            return value
        classes = " or ".join(name for name, names in OPTIONS.items() if info.field_name in names)
        raise expect(f"no {info.field_name} with class {pool_class}: it is for class {classes}")
