"""Where a repo's objects are defined, found by reading its files, not by running them."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What takes a name but makes no asset.
_OTHER_MAKERS = frozenset({"Entity", "Feature", "Field", "Project"})
_ENDINGS = {"source": "source", "feature_service": "service"}


@dataclass(frozen=True)
class CodeLocation:
    """Where an object of the repo is defined: file and line, counted from one."""

    path: Path
    line: int


@dataclass(frozen=True)
class Definitions:
    """Every call and decorated function of some files that gives something a name.

    Attributes:
        places: Name to the places where it is given, with what is called there.
    """

    places: Mapping[str, Sequence[tuple[CodeLocation, str]]]

    @classmethod
    def read(cls, files: Iterable[Path]) -> "Definitions":
        """Read Python files that have been imported before."""
        found: dict[str, list[tuple[CodeLocation, str]]] = {}
        for path in files:
            for node in ast.walk(ast.parse(path.read_text())):
                for name, maker in _names_defined_by(node):
                    place = CodeLocation(path, getattr(node, "lineno", 1))
                    found.setdefault(name, []).append((place, maker))
        return cls(found)

    def find(self, kind: str, name: str) -> CodeLocation | None:
        """Where an object is defined.

        Args:
            kind: ``source``, ``feature_view``, ``on_demand_feature_view`` or ``feature_service``:
                objects of different kinds may share a name.
            name: Its name.
        """
        places = self.places.get(name, ())
        for place, maker in places:
            if maker.lower().rstrip("_").endswith(_ENDINGS.get(kind, "view")):
                return place
        # A helper of the repo's own, whose name says nothing.
        return next((place for place, maker in places if maker not in _OTHER_MAKERS), None)


def _names_defined_by(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Names of objects with the name of the callable that makes them."""
    if isinstance(node, ast.Call):
        given = {
            keyword.arg: str(keyword.value.value)
            for keyword in node.keywords
            if isinstance(keyword.value, ast.Constant)
        }
        # A source without a name is called by its path or table.
        name = given.get("name") or given.get("path") or given.get("table")
        if name:
            yield name, _called(node.func)
    elif isinstance(node, ast.FunctionDef):
        for decorator in node.decorator_list:
            yield (
                node.name,
                _called(decorator.func if isinstance(decorator, ast.Call) else decorator),
            )


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
