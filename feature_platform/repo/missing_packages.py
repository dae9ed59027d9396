"""Which package an import failed for, and how it is installed."""

import re
from importlib.metadata import PackageNotFoundError, metadata

# Feast names its extra in the message of its own error.
_EXTRA = re.compile(r"feast\[([\w-]+)\]")


def missing_package(error: BaseException) -> str:
    """The module that is not installed and because of which an error was raised; else empty.

    A module of Feast, or of the place that a class is looked for in, that is not there is no
    missing package: its name is wrong.
    """
    for each in _chain(error):
        if isinstance(each, ModuleNotFoundError) and each.name and not _is_sought(each, error):
            return each.name
    for each in _chain(error):
        found = re.search(r"No module named '([\w.]+)'", str(each))
        if found and _EXTRA.search(str(each)):
            return found[1]
    return ""


def how_to_install(package: str, error: BaseException, *kinds: str) -> str:
    """The command that installs a package: as an extra of Feast if it has one.

    Args:
        package: From `missing_package`.
        error: What was raised; Feast's own errors name the extra.
        kinds: What was configured, such as ``milvus``; Feast's extras are called so.
    """
    named = (found[1] for each in _chain(error) if (found := _EXTRA.search(str(each))))
    known, kinds = _extras_of_feast(), tuple(kind.split(".")[0] for kind in kinds)
    extra = next((each for each in (*named, *kinds) if each in known), "")
    return f"pip install 'feast[{extra}]'" if extra else f"pip install {package.partition('.')[0]}"


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in found:
        found.append(step)
        step = step.__cause__ or step.__context__
    return found


def _is_sought(missing: ModuleNotFoundError, error: BaseException) -> bool:
    """Whether the missing module is the one that a configured class was looked for in."""
    name = missing.name or ""
    return any(
        type(each).__name__ == "FeastModuleImportError"
        and re.search(rf"module '{re.escape(name)}(\.[\w.]+)?'", str(each))
        for each in _chain(error)
    )


def _extras_of_feast() -> frozenset[str]:
    try:
        return frozenset(metadata("feast").get_all("Provides-Extra") or ())
    except PackageNotFoundError:
        return frozenset()
