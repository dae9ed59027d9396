"""What went wrong in an online store, and what to do about that, by what its driver raised."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StoreFault:
    """One way in which a store fails.

    Attributes:
        problem: What it does, such as ``refuses the credentials``.
        remedy: What to do.
        is_transient: Whether retrying may succeed although nothing was changed.
        is_too_large: Whether a key or value is larger than the store takes.
    """

    problem: str
    remedy: str
    is_transient: bool = False
    is_too_large: bool = False


@dataclass(frozen=True)
class Signs:
    """By what an error is known to be of a fault; one of the signs is enough.

    Attributes:
        fault: The fault.
        classes: Names of the error's class, or of one of its base classes.
        codes: SQLSTATEs, or codes of AWS.
        texts: Parts of the message, in lower case.
    """

    fault: StoreFault
    classes: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def fit(self, error: BaseException) -> bool:
        """Whether the error is of this fault."""
        names = {each.__name__ for each in type(error).__mro__}
        message = str(error).lower()
        return (
            bool(names.intersection(self.classes))
            or _code(error) in self.codes
            or any(text in message for text in self.texts)
        )


SILENT = StoreFault(
    "did not answer in time",
    "check that it runs and is not overloaded; the next run writes what is missing",
    is_transient=True,
)
GONE = StoreFault(
    "cannot be reached",
    "check that it runs, and the address in feature_store.yaml",
    is_transient=True,
)
WITHOUT_TABLE = StoreFault(
    "lacks the view's table",
    "run feast apply, which makes it; or, if there were values in it, feature-platform "
    "rebuild-online, which writes them again",
)
_OF_ALL = (
    Signs(SILENT, classes=("TimeoutError", "ReadTimeoutError", "ConnectTimeoutError")),
    Signs(SILENT, texts=("connection timeout expired", "timed out")),
    Signs(
        GONE,
        classes=("ConnectionError", "EndpointConnectionError", "ConnectionClosedError"),
        texts=("connection refused", "could not translate host name", "name or service not known"),
    ),
)


def fault_of(error: BaseException, signs: Sequence[Signs]) -> StoreFault | None:
    """The fault that an error, or what it was raised from, is a sign of; the first that fits.

    Args:
        error: What a driver raised.
        signs: Those of the store, before those that are the same on every store.
    """
    chain = list(_chain(error))
    return next(
        (each.fault for each in (*signs, *_OF_ALL) if any(each.fit(link) for link in chain)), None
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(5):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _code(error: BaseException) -> str | None:
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's ClientError
        return str(response.get("Error", {}).get("Code", ""))
    code: str | None = getattr(error, "sqlstate", None)
    return code
