"""The raw tables that the repo's ``raw_tables.py`` binds."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from feature_platform.core.windows import Window
from feature_platform.errors import MissingPackageError, SourceError
from feature_platform.repo.project import FeastProject


def raw_table_binder(project: FeastProject) -> Callable[[Any, Window], object]:
    """The ``bind(connection, window)`` of the repo's ``raw_tables.py``; without one, a no-op.

    Raises:
        SourceError: The module has no such function.
        MissingPackageError: It imports a package that is not installed.
    """
    path = project.repo_dir / "raw_tables.py"
    if not path.is_file():
        return lambda _connection, _window: None
    bind = getattr(_module(path), "bind", None)
    if bind is None:
        raise SourceError(
            f"raw tables '{path}'",
            "has no function bind(connection, window)",
            "define it: it gives the DuckDB connection the tables that the SQL reads",
        )
    return bind  # type: ignore[no-any-return]


def raw_tables_stamp(project: FeastProject) -> Callable[[], str] | None:
    """The ``stamp()`` of the repo's ``raw_tables.py``, if it has one.

    It is cheap and changes whenever the raw tables change; with it they are read only then.
    """
    path = project.repo_dir / "raw_tables.py"
    if not path.is_file():
        return None
    return getattr(_module(path), "stamp", None)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("feature_platform_raw_tables", path)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - the file is there
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"raw tables '{path.name}'", f"needs {error.name}", f"pip install {error.name}"
        ) from error
    return module
