"""Which files of a repo are imported, and what is said of one that cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from feature_platform import build_feast_definitions
from feature_platform.cli import main
from feature_platform.errors import RepoError
from feature_platform.repo.repo_files import own_files

if TYPE_CHECKING:
    from worlds.samples import Sample

SIMPLE = """
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Int64

key = Entity(name="key", join_keys=["key_id"])
table = FileSource(name="table", path="data/table.parquet", timestamp_field="ts")
view = FeatureView(
    name="view", entities=[key], schema=[Field(name="value", dtype=Int64)], source=table
)
"""
BROKEN = 'raise RuntimeError("a foreign package")\n'
ENVIRONMENTS = {
    "venv": {"venv/pyvenv.cfg": "", "venv/lib/python3.11/site-packages/p/a.py": BROKEN},
    "a script of venv": {"env/pyvenv.cfg": "", "env/bin/activate_this.py": BROKEN},
    "in a folder": {"parts/.env/pyvenv.cfg": "", "parts/.env/lib64/p.py": BROKEN},
    "conda": {"conda/conda-meta/history": "", "conda/lib/p.py": BROKEN},
    "site-packages": {"lambda/site-packages/p/a.py": BROKEN},
    "node_modules": {"ui/node_modules/gyp/a.py": BROKEN},
    "Feast's own": {".venv/lib/p.py": BROKEN, ".venv/pyvenv.cfg": "", "__pycache__/a.py": BROKEN},
}


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_an_environment_in_the_repo_is_not_imported(kind: str, make_repo: Callable[..., "Sample"]):
    sample = make_repo({"features.py": SIMPLE, **ENVIRONMENTS[kind]})
    assert set(sample.project.views) == {"view"}
    assert sample.project.code_location("feature_view", "view")
    assert build_feast_definitions(sample.project, "2026-03-01")
    assert own_files(sample.repo) == [sample.repo / "features.py"]


def test_what_feastignore_names_is_not_imported(make_repo: Callable[..., "Sample"]):
    sample = make_repo(
        {
            "features.py": SIMPLE,
            ".feastignore": "notebooks  # explorations\n**/*_script.py\n",
            "notebooks/explore.py": BROKEN,
            "parts/load_script.py": BROKEN,
        }
    )
    assert set(sample.project.views) == {"view"}


def test_a_package_that_a_module_of_the_repo_imports_from_its_environment_stays_loaded(
    make_repo: Callable[..., "Sample"], monkeypatch: pytest.MonkeyPatch
):
    import sys

    sample = make_repo(
        {
            "features.py": f"import foreign_package\n{SIMPLE}",
            "venv/pyvenv.cfg": "",
            "venv/site-packages/foreign_package.py": "",
        }
    )
    monkeypatch.syspath_prepend(str(sample.repo / "venv/site-packages"))
    assert set(sample.project.views) == {"view"}
    # Many packages cannot be imported twice.
    assert "foreign_package" in sys.modules
    assert "features" not in sys.modules


FAULTS = {
    "raises": ("import math\nmath.sqrt(-1)\n", "notebooks/explore.py:2: ValueError: "),
    "exits": ("import sys\nsys.exit(3)\n", "notebooks/explore.py:2: SystemExit: 3"),
    "reads arguments": (
        "import argparse\nparser = argparse.ArgumentParser()\n"  # noqa: ISC004
        "parser.add_argument('--day', required=True)\nparser.parse_args([])\n",
        "notebooks/explore.py:4: SystemExit: 2",
    ),
    "is a notebook": ("# In[1]:\nget_ipython()\n", "notebooks/explore.py:2: NameError: "),
    "is no Python": ("x = = 1\n", "notebooks/explore.py:1: SyntaxError: "),
    "needs a package": ("import torchvizz\n", "notebooks/explore.py:1: ModuleNotFoundError: "),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_file_that_cannot_be_imported_is_named_with_what_ends_it(
    kind: str, make_repo: Callable[..., "Sample"]
):
    text, said = FAULTS[kind]
    sample = make_repo({"features.py": SIMPLE, "notebooks/explore.py": text})
    with pytest.raises(RepoError) as caught:
        _ = sample.project.views
    assert said in str(caught.value)
    installs = "pip install torchvizz, or " if kind == "needs a package" else ""
    assert caught.value.remedy == (
        f"{installs}correct the file; if notebooks/explore.py defines nothing for Feast, such as "
        f"a notebook or a script, name it in {sample.repo}/.feastignore"
    )
    result = CliRunner().invoke(main, ["status", "--repo", str(sample.repo)])
    assert result.exit_code == 2
    (sample.repo / ".feastignore").write_text("notebooks/explore.py\n")
    assert set(sample.project.views) == {"view"}


def test_of_a_file_that_fails_in_a_package_the_repos_own_line_is_named(
    make_repo: Callable[..., "Sample"], monkeypatch: pytest.MonkeyPatch
):
    sample = make_repo(
        {
            "features.py": f"import parts.helper\n{SIMPLE}",
            "parts/__init__.py": "",
            "parts/helper.py": "import broken_package\n",
            "venv/pyvenv.cfg": "",
            "venv/site-packages/broken_package.py": BROKEN,
        }
    )
    monkeypatch.syspath_prepend(str(sample.repo / "venv/site-packages"))
    with pytest.raises(RepoError) as caught:
        _ = sample.project.views
    assert (
        "parts/helper.py:1: RuntimeError: a foreign package (imported by features.py)"
        in caught.value.problem
    )


def test_a_link_that_leads_nowhere_is_no_file(make_repo: Callable[..., "Sample"]):
    sample = make_repo({"features.py": SIMPLE})
    (sample.repo / "gone.py").symlink_to(Path("nowhere.py"))
    assert set(sample.project.views) == {"view"}
    assert own_files(sample.repo) == [sample.repo / "features.py"]
