"""Where a repo's objects are defined, found by parsing its files, without running them."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Classes of objects that are no asset.
_OTHER_MAKERS = frozenset({"Entity", "Feature", "Field", "Project"})
_ENDINGS = {"source": "source", "feature_service": "service"}


@dataclass(frozen=True)
class CodeLocation:
    """Where an object of the repo is defined: file and line, counted from one."""

    path: Path
    line: int


@dataclass(frozen=True)
class Definitions:
    """Every call with a name argument, and every decorated function, of some files.

    Attributes:
        places: From a name to its locations, each with the callable that is given the name.
    """

    places: Mapping[str, Sequence[tuple[CodeLocation, str]]]

    @classmethod
    def read(cls, files: Iterable[Path]) -> "Definitions":
        """Parse Python files that can be imported."""
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
        # A function of the repo's own, whose name does not tell the kind.
        return next((place for place, maker in places if maker not in _OTHER_MAKERS), None)


def _names_defined_by(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that a node gives, with the callable that takes them."""
    if isinstance(node, ast.Call):
        given = {
            keyword.arg: str(keyword.value.value)
            for keyword in node.keywords
            if isinstance(keyword.value, ast.Constant)
        }
        # Feast names a source without a name after its path or table.
        name = given.get("name") or given.get("path") or given.get("table")
        if name:
            yield name, _called(node.func)
    elif isinstance(node, ast.FunctionDef):
        for decorator in node.decorator_list:
            function = decorator.func if isinstance(decorator, ast.Call) else decorator
            yield node.name, _called(function)


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
