"""The house: rooms by subject, arrows one way, and who may import what."""

import ast
import re

import architecture
import pytest

HOUSES = ["feature_platform", "feature_platform.orchestration"]
DAGSTER = re.compile(r"^(orchestration/|component\.py$|definitions\.py$)")
FEAST_SEAMS = re.compile(r"^(core|registry)/")


@pytest.mark.parametrize("container", HOUSES)
def test_packages_import_each_other_one_way(container: str):
    house = architecture.House(container)
    assert len(house.packages) > 5
    assert house.circles == []
    assert house.against_order == []


def test_a_circle_is_seen(monkeypatch: pytest.MonkeyPatch):
    house = architecture.House()
    tied = {("core", "cli"): ["core.a -> cli.b"], ("cli", "core"): ["cli.c -> core.d"]}
    monkeypatch.setitem(house.__dict__, "imports", tied)
    assert house.circles == [{"core", "cli"}]
    assert house.against_order == ["core.a -> cli.b"]


def test_only_orchestration_and_the_public_face_import_dagster():
    found = {
        name
        for name, tree in architecture.modules()
        for module, _ in architecture.imported_names(tree)
        if module.split(".")[0].split("_")[0] == "dagster" and not DAGSTER.match(name)
    }
    assert found == set()


def private_uses(tree: ast.Module) -> list[str]:
    """Private names that are taken from Feast, by import or from an object of its."""
    found = [
        f"{module}.{name}"
        for module, name in architecture.imported_names(tree)
        if module.split(".")[0] == "feast" and (name.startswith("_") or ".protos" in module)
    ]
    own = {
        node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    }
    return found + [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and re.match(r"_[^_]", node.attr)
        # What a class overrides of Feast's, it may call on its parent.
        and node.attr not in own
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        and node.attr not in ("_replace", "_asdict")
    ]


def test_what_feast_keeps_private_is_touched_in_two_rooms_alone():
    found = {
        name: uses
        for name, tree in architecture.modules()
        if not FEAST_SEAMS.match(name) and (uses := private_uses(tree))
    }
    assert found == {}


def test_a_private_name_of_feast_is_seen():
    code = "from feast.utils import _x\nfrom feast.protos.a_pb2 import B\nstore._get_provider()\n"
    assert private_uses(ast.parse(code)) == [
        "feast.utils._x", "feast.protos.a_pb2.B", "store._get_provider"
    ]  # fmt: skip


def test_statistics_know_no_feast_and_alerts_neither_feast_nor_dagster():
    for name, tree in architecture.modules():
        outside = {module.split(".")[0] for module, _ in architecture.imported_names(tree)}
        if name.startswith(("statistics/", "alerts/")):
            assert not outside & {"feast", "dagster", "great_expectations"}, name


def test_no_two_modules_share_a_name_unless_they_implement_one_protocol():
    assert architecture.shared_basenames() == {}


def test_a_folder_holds_about_a_dozen_modules():
    crowded = {
        name: count for name, count in architecture.modules_per_folder().items() if count > 14
    }
    assert crowded == {}
