"""The repo's own suites: one file of expectations a source, in Great Expectations' own format."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from feature_platform.errors import RepoError
from feature_platform.orchestration.validation.gx import (
    ExpectationSpec,
    expectation_fields,
    expectation_types,
    make_expectation,
    needs_database,
)
from feature_platform.orchestration.validation.outcomes import Severity

if TYPE_CHECKING:
    from feature_platform.orchestration.validation.default_checks import SourceSchema

_ENTRY = ("type", "kwargs", "severity", "meta", "description", "notes", "id", "rendered_content")
_SEVERITIES: dict[str, Severity] = {
    "critical": "error",
    "error": "error",
    "warning": "warn",
    "warn": "warn",
    "info": "warn",
}


def load_suite(
    path: Path, columns: "Collection[str] | SourceSchema | None" = None
) -> tuple[ExpectationSpec, ...]:
    """Read a suite and make sure that each of its expectations can be made.

    The file holds what Great Expectations itself writes: ``{"name": ..., "expectations": [{"type":
    ..., "kwargs": {...}}, ...]}``, as JSON or YAML. An expectation with ``"severity": "warning"``
    (or ``"meta": {"severity": "warning"}``) does not keep a window from being served.

    Args:
        path: A ``.json``, ``.yaml`` or ``.yml`` file.
        columns: The columns the source has. None or a schema leave names of columns unchecked:
            a source may have more columns than feature views take from it, and a name that the
            window does not have fails the check that runs the suite.

    Raises:
        RepoError: The file is missing or broken, or an expectation has an unknown type, unknown or
            unsuitable kwargs, or names a column that the source does not have.
    """
    content = _read(path)
    entries = content.get("expectations") if isinstance(content, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise _error(
            path,
            "holds no list of expectations",
            'give {"expectations": [{"type": ..., "kwargs": {...}}, ...]}, or delete the file',
        )
    known = columns if isinstance(columns, Collection) else None
    return tuple(_spec(path, place, entry, known) for place, entry in enumerate(entries, 1))


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise _error(path, f"cannot be read ({error.strerror})", "check the path") from error
    except UnicodeDecodeError as error:
        raise _error(path, "is not UTF-8 text", "save it as UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise _error(path, f"is not JSON: {error.msg} at {where}", "correct it there") from error
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise _error(path, f"is not YAML: {said}", "correct it there") from error


def _spec(path: Path, place: int, entry: Any, columns: Collection[str] | None) -> ExpectationSpec:
    if not isinstance(entry, Mapping):
        raise _error(
            path, f"expectation {place} is {entry!r}", 'make it {"type": ..., "kwargs": {...}}'
        )
    for key in entry:
        if key not in _ENTRY:
            raise _error(
                path,
                f"expectation {place} has an unknown key '{key}'{_nearest(key, _ENTRY)}",
                f"use {', '.join(_ENTRY)}",
            )
    kwargs = entry.get("kwargs") or {}
    if not isinstance(kwargs, Mapping):
        raise _error(
            path, f"expectation {place} has kwargs {kwargs!r}", "make them names with values"
        )
    spec = ExpectationSpec(
        type=str(entry.get("type")),
        kwargs=dict(kwargs),
        severity=_severity(path, place, entry),
        description=str(entry.get("description") or ""),
    )
    _check(path, place, spec)
    if columns is not None:
        _check_columns(path, place, spec, columns)
    return spec


def _severity(path: Path, place: int, entry: Mapping[str, Any]) -> Severity:
    meta = entry.get("meta")
    given = entry.get("severity") or (meta.get("severity") if isinstance(meta, Mapping) else None)
    severity = _SEVERITIES.get(str(given or "critical").lower())
    if severity is None:
        raise _error(
            path,
            f"expectation {place} has severity '{given}'",
            "use critical (blocks the window), warning or info",
        )
    return severity


def _check(path: Path, place: int, spec: ExpectationSpec) -> None:
    types = expectation_types()
    kind = types.get(spec.type)
    if kind is None:
        raise _error(
            path,
            f"expectation {place} has an unknown type '{spec.type}'{_nearest(spec.type, types)}",
            "take a name from Great Expectations' gallery",
        )
    if needs_database(kind):
        raise _error(
            path,
            f"expectation {place} is '{spec.type}', which runs SQL on a database",
            "use one that runs on a data frame: a window is checked in memory",
        )
    known = expectation_fields(kind)
    for name in spec.kwargs:
        if name not in known and name not in {"result_format", "catch_exceptions"}:
            raise _error(
                path,
                f"expectation {place} ({spec.type}) has an unknown kwarg '{name}'"
                f"{_nearest(name, known)}",
                f"use {', '.join(known)}",
            )
    if any(key == "$PARAMETER" for key, _ in _pairs(spec.kwargs)):
        raise _error(
            path,
            f"expectation {place} ({spec.type}) uses $PARAMETER, which nothing here fills in",
            "write the value itself",
        )
    try:
        make_expectation(spec)
    except (ValueError, TypeError) as error:
        raise _error(
            path,
            f"expectation {place} ({spec.type}) cannot be made: {_first_reasons(error)}",
            "correct its kwargs",
        ) from error


def _check_columns(path: Path, place: int, spec: ExpectationSpec, columns: Collection[str]) -> None:
    conditions = spec.kwargs.get("row_condition")
    asked = [
        value["name"]
        for key, value in _pairs(conditions)
        if key == "column" and isinstance(value, Mapping) and "name" in value
    ]
    for name in [*spec.columns, *map(str, asked)]:
        if name not in columns and spec.type != "expect_column_to_exist":
            raise _error(
                path,
                f"expectation {place} ({spec.type}) is about column '{name}', which the source "
                f"does not have{_nearest(name, columns)}",
                f"use one of {', '.join(sorted(columns))}",
            )


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, however deep."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key), item
            yield from _pairs(item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _pairs(item)


def _first_reasons(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if not callable(details):
        return str(error)
    reasons = [
        f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in details()
    ]
    return "; ".join(dict.fromkeys(reason.removeprefix("__root__: ") for reason in reasons[:3]))


def _nearest(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, [str(each) for each in known], n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _error(path: Path, problem: str, remedy: str) -> RepoError:
    return RepoError(f"expectation suite {path}", problem, remedy)
