"""The settings of a database's pool: its class and the options of that class."""

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
    """SQLAlchemy's pool classes. `queue` is AsyncAdaptedQueuePool for an async driver."""

    QUEUE = "queue"
    NULL = "null"
    STATIC = "static"
    SINGLETON_THREAD = "singleton_thread"
    ASSERTION = "assertion"


# Connections. No server accepts more, and larger numbers are typing errors.
MOST: Final = 100_000
# The options of some classes; recycle, pre_ping and reset_on_return are those of all.
OPTIONS: Final[Mapping[PoolClass, frozenset[str]]] = {
    PoolClass.QUEUE: frozenset({"size", "max_overflow", "timeout", "use_lifo"}),
    PoolClass.SINGLETON_THREAD: frozenset({"size"}),
}


def _read_class(value: Any) -> Any:
    # `class: null` in YAML means the class of that name.
    return PoolClass.NULL if value is None else value


def _read_reset(value: Any) -> Any:
    word = value.lower() if isinstance(value, str) else value
    if word in (None, "none", "null"):
        return None
    if word not in ("rollback", "commit"):
        raise expect("rollback, commit or null")
    return word


class PoolSettings(Section):
    """The pool, with the options of create_engine() without their `pool_`."""

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
        default=1, ge=0, le=MOST, description="Connections to keep; 0 means no limit"
    )
    max_overflow: WholeNumber = Field(
        default=0,
        ge=-1,
        le=MOST,
        description="Additional connections while they are needed; -1 means no limit",
    )
    timeout: Duration = Field(default=5.0, description="How long to wait for a free connection")
    recycle: OptionalDuration = Field(
        default=None, description="Age at which a connection is replaced; null means never"
    )
    pre_ping: bool = Field(default=True, description="Test a connection before each use")
    use_lifo: bool = Field(
        default=False, description="Reuse the most recently returned connection first"
    )
    reset_on_return: Annotated[
        Literal["rollback", "commit"] | None, BeforeValidator(_read_reset)
    ] = Field(default="rollback", description="rollback, commit or null")

    @field_validator("size", "max_overflow", "timeout", "use_lifo")
    @classmethod
    def _check_class_takes_it(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic runs this for options that are given, not for defaults.
        pool_class = info.data.get("pool_class")
        if pool_class is None or info.field_name in OPTIONS.get(pool_class, ()):
            return value
        classes = " or ".join(name for name, names in OPTIONS.items() if info.field_name in names)
        raise expect(f"no {info.field_name} with class {pool_class}, only with class {classes}")
