"""Print the packages of the house, its circles, and the imports that go against its order.

Run it: ``python tests/architecture.py``. The order is the one of the ``layers`` contract in
pyproject.toml. Lazy and type-only imports count.
"""

import ast
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "feature_platform"
# Modules that implement one protocol, one in each folder.
ONE_PROTOCOL = frozenset({"backend", "dialect", "store", "warehouse", "writer"})


@dataclass(frozen=True)
class House:
    """The import graph between the packages below one package."""

    container: str = "feature_platform"

    @cached_property
    def imports(self) -> Mapping[tuple[str, str], list[str]]:
        """From one package to another: the modules, as ``a -> b``."""
        graph = grimp.build_graph(
            "feature_platform", exclude_type_checking_imports=False, cache_dir=None
        )
        found: dict[tuple[str, str], list[str]] = {}
        for module in graph.modules:
            for imported in graph.find_modules_directly_imported_by(module):
                ends = self._package(module), self._package(imported)
                if all(ends) and ends[0] != ends[1]:
                    found.setdefault(ends, []).append(f"{module} -> {imported}")
        return found

    @cached_property
    def order(self) -> list[list[str]]:
        """Layers from the top, siblings together, as the contract in pyproject.toml says."""
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
        [layers] = [
            each["layers"]
            for each in settings["contracts"]
            if each["type"] == "layers" and each["containers"] == [self.container]
        ]
        return [[name.strip() for name in layer.split("|")] for layer in layers]

    @cached_property
    def packages(self) -> list[str]:
        return sorted({name for ends in self.imports for name in ends})

    @cached_property
    def circles(self) -> list[set[str]]:
        """Packages that reach each other, by Tarjan's strongly connected components."""
        reach = {name: self._reached(name) for name in self.packages}
        found: list[set[str]] = []
        for name in self.packages:
            circle = {other for other in reach[name] if name in reach[other]}
            if len(circle) > 1 and circle not in found:
                found.append(circle)
        return found

    @cached_property
    def against_order(self) -> list[str]:
        rank = {name: place for place, layer in enumerate(self.order) for name in layer}
        return [
            each
            for (importer, imported), modules in sorted(self.imports.items())
            if rank[imported] <= rank[importer]
            for each in modules
        ]

    def _package(self, module: str) -> str:
        inside = module.removeprefix(f"{self.container}.")
        return "" if inside == module else inside.split(".")[0]

    def _reached(self, start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            name = waiting.pop()
            for importer, imported in self.imports:
                if importer == name and imported not in found:
                    found.add(imported)
                    waiting.append(imported)
        return found


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the product by its path below the package, parsed."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())


def imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Module and name of every import, however deep; the name is empty of a plain import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.name, "") for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, each.name) for each in node.names)


def shared_basenames() -> dict[str, list[str]]:
    """Module names that stand in more than one folder, without those of one protocol."""
    found: dict[str, list[str]] = {}
    for name, _ in modules():
        folder, _, base = name.rpartition("/")
        if (stem := base.removesuffix(".py")) != "__init__":
            found.setdefault(stem, []).append(folder)
    return {
        name: folders
        for name, folders in found.items()
        if len(folders) > 1 and name not in ONE_PROTOCOL
    }


def modules_per_folder() -> Counter[str]:
    """How many modules a folder holds, ``__init__`` apart."""
    names = (name for name, _ in modules() if not name.endswith("__init__.py"))
    return Counter(name.rpartition("/")[0] or "." for name in names)


def main() -> None:
    for house in (House(), House("feature_platform.orchestration")):
        print(f"{house.container}: {len(house.packages)} packages")
        print(f"  {', '.join(house.packages)}")
        print(f"  circles: {len(house.circles)} {house.circles or ''}")
        print(f"  imports against the order: {len(house.against_order)}")
        for each in house.against_order:
            print(f"    {each}")
    print(f"modules per folder: {dict(modules_per_folder().most_common())}")
    print(f"names in two folders: {shared_basenames() or 'none'}")


if __name__ == "__main__":
    main()
