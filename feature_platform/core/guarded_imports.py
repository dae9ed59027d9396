"""Imports that may fail, or end the interpreter, and must cost no more than what they bring.

``pyspark.sql.connect`` calls ``sys.exit(0)`` where one of its own requirements is missing.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from feature_platform.errors import type_and_line

_OPTIONAL = ("pyspark.sql.connect.dataframe", "pyspark.sql.connect.session")


def import_problem(module: str) -> str:
    """Import a module; why that failed, such as ``SystemExit: 0``, and empty if it did not."""
    error = _raised_by(module)
    return "" if error is None else type_and_line(error)


def broken_extras() -> dict[str, str]:
    """Optional modules of other packages that do worse than be missing, with what they do."""
    if "pyspark" not in sys.modules and find_spec("pyspark") is None:
        return {}
    raised = {name: _raised_by(name) for name in _OPTIONAL}
    return {
        name: type_and_line(error)
        for name, error in raised.items()
        if error is not None and not isinstance(error, ImportError)
    }


def _raised_by(module: str) -> BaseException | None:
    try:
        import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything
        return error
    return None


@contextmanager
def without_broken_extras() -> Iterator[None]:
    """In the block, `broken_extras` are missing.

    So a package that tries them and catches an ``ImportError`` can be imported.
    """
    broken = broken_extras()
    for name in broken:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it is an ImportError
    try:
        yield
    finally:
        for name in broken:
            sys.modules.pop(name, None)
