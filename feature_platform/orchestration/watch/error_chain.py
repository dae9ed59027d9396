"""The errors that Dagster has wrapped in others."""

from collections.abc import Iterator

from dagster_shared.error import SerializableErrorInfo


def error_chain(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    """An error and its causes; the last is what a step or tick raised itself."""
    while error is not None:
        yield error
        error = error.cause


def innermost(error: SerializableErrorInfo) -> SerializableErrorInfo:
    """The error to act on: what a step or tick raised itself."""
    *_, last = error_chain(error)
    return last
