from __future__ import annotations

from sqlalchemy_pool_metrics.failures.exceptions import iter_exception_chain


def raise_within(inner: Exception, outer: Exception, *, is_hidden: bool = False) -> Exception:
    """`outer` as it is after it was raised while `inner` was handled."""
    outer.__context__ = inner
    outer.__suppress_context__ = is_hidden
    return outer


def test_the_error_itself_comes_first_and_its_cause_after_it() -> None:
    cause = ValueError()
    error = RuntimeError()
    error.__cause__ = cause
    assert list(iter_exception_chain(error)) == [error, cause]


def test_an_error_that_was_being_handled_is_part_of_the_chain() -> None:
    context = ValueError()
    error = raise_within(context, RuntimeError())
    assert list(iter_exception_chain(error)) == [error, context]


def test_raise_from_none_hides_what_was_being_handled() -> None:
    error = raise_within(ValueError(), RuntimeError(), is_hidden=True)
    assert list(iter_exception_chain(error)) == [error]


def test_the_original_error_of_a_library_comes_before_causes_and_contexts() -> None:
    error, original, cause, context = RuntimeError(), OSError(), KeyError(), ValueError()
    error.orig = original  # type: ignore[attr-defined]
    error.__cause__ = cause
    error.__context__ = context
    error.__suppress_context__ = False
    assert list(iter_exception_chain(error)) == [error, original, cause, context]


def test_a_branch_is_followed_to_its_end_before_the_next_begins() -> None:
    deep, cause, context, error = OSError(), KeyError(), ValueError(), RuntimeError()
    cause.__cause__ = deep
    error.__context__ = context
    error.__cause__ = cause
    error.__suppress_context__ = False
    assert list(iter_exception_chain(error)) == [error, cause, deep, context]


def test_the_members_of_a_group_follow_it_in_their_order() -> None:
    first, second = OSError(1), OSError(2)
    group = ExceptionGroup("two", [first, ExceptionGroup("one", [second])])
    assert list(iter_exception_chain(group)) == [group, first, group.exceptions[1], second]


def test_a_loop_of_contexts_ends() -> None:
    first, second = ValueError(), KeyError()
    first.__context__, second.__context__ = second, first
    assert list(iter_exception_chain(first)) == [first, second]


def test_an_attribute_that_is_not_an_error_is_not_part_of_the_chain() -> None:
    error = RuntimeError()
    error.orig = "text"  # type: ignore[attr-defined]
    assert list(iter_exception_chain(error)) == [error]
