"""The repo's own suites: one file of expectations per source, in Great Expectations' format."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

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

_ENTRY = ("type", "kwargs", "severity", "meta", "description", "notes", "id", "rendered_content")
_SEVERITIES: dict[str, Severity] = {
    "critical": "error",
    "error": "error",
    "warning": "warn",
    "warn": "warn",
    "info": "warn",
}


def load_suite(path: Path) -> tuple[ExpectationSpec, ...]:
    """Read a suite, and check that each of its expectations can be made.

    The file holds what Great Expectations writes: ``{"name": ..., "expectations": [{"type": ...,
    "kwargs": {...}}, ...]}``, as JSON or YAML. A failed expectation with ``"severity": "warning"``
    (or ``"meta": {"severity": "warning"}``) does not block the window. Column names are not
    checked: one that the window lacks fails the check that runs the suite.

    Args:
        path: A ``.json``, ``.yaml`` or ``.yml`` file.

    Raises:
        RepoError: The file is missing or broken, or an expectation has an unknown type, or unknown
            or invalid kwargs.
    """
    content = _read(path)
    entries = content.get("expectations") if isinstance(content, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise _error(
            path,
            "holds no list of expectations",
            'give {"expectations": [{"type": ..., "kwargs": {...}}, ...]}, or delete the file',
        )
    return tuple(_Entry(path, place).read(entry) for place, entry in enumerate(entries, 1))


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
        text = " ".join(str(error).split())
        raise _error(path, f"is not YAML: {text}", "correct it there") from error


@dataclass(frozen=True)
class _Entry:
    """An expectation of a suite, by its place from 1."""

    path: Path
    place: int

    def read(self, entry: Any) -> ExpectationSpec:
        if not isinstance(entry, Mapping):
            raise self.error(f"is {entry!r}", 'make it {"type": ..., "kwargs": {...}}')
        self.require_known("key", entry, _ENTRY)
        kwargs = entry.get("kwargs") or {}
        if not isinstance(kwargs, Mapping):
            raise self.error(f"has kwargs {kwargs!r}", "make them names with values")
        spec = ExpectationSpec(
            type=str(entry.get("type")),
            kwargs=dict(kwargs),
            severity=self.severity(entry),
            description=str(entry.get("description") or ""),
        )
        self.require_valid(spec)
        return spec

    def severity(self, entry: Mapping[str, Any]) -> Severity:
        meta = entry.get("meta")
        given = entry.get("severity")
        if not given and isinstance(meta, Mapping):
            given = meta.get("severity")
        severity = _SEVERITIES.get(str(given or "critical").lower())
        if severity is None:
            raise self.error(
                f"has severity '{given}'", "use critical (blocks the window), warning or info"
            )
        return severity

    def require_valid(self, spec: ExpectationSpec) -> None:
        types = expectation_types()
        kind = types.get(spec.type)
        if kind is None:
            raise self.error(
                f"has an unknown type '{spec.type}'{_nearest(spec.type, types)}",
                "take a name from Great Expectations' gallery",
            )
        if needs_database(kind):
            raise self.error(
                f"is '{spec.type}', which runs SQL on a database",
                "use one that runs on a data frame: a window is checked in memory",
            )
        known = [*expectation_fields(kind), "result_format", "catch_exceptions"]
        self.require_known("kwarg", spec.kwargs, known, of=spec.type)
        if any(key == "$PARAMETER" for key in _keys(spec.kwargs)):
            raise self.error(
                f"({spec.type}) uses $PARAMETER, which nothing here fills in",
                "write the value itself",
            )
        try:
            make_expectation(spec)
        except (ValueError, TypeError) as error:
            raise self.error(
                f"({spec.type}) cannot be made: {_first_reasons(error)}", "correct its kwargs"
            ) from error

    def require_known(
        self, what: str, names: Collection[str], known: Sequence[str], *, of: str = ""
    ) -> None:
        for name in names:
            if name not in known:
                subject = f"({of}) has" if of else "has"
                raise self.error(
                    f"{subject} an unknown {what} '{name}'{_nearest(name, known)}",
                    f"use {', '.join(known)}",
                )

    def error(self, problem: str, remedy: str) -> RepoError:
        return _error(self.path, f"expectation {self.place} {problem}", remedy)


def _keys(value: Any) -> Iterator[str]:
    """Every key, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _keys(item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _keys(item)


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
