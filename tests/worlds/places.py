"""Where things are in the checkout, and how a process of its own finds the same modules."""

import os
import shutil
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
FRAUD_REPO = ROOT / "feature_repo"
SAMPLE_REPOS = TESTS / "feature_repos"


def copied(repo: Path, to: Path) -> Path:
    """A copy of a repo without what runs have written there."""
    shutil.copytree(repo, to, ignore=shutil.ignore_patterns("data", "__pycache__"))
    return to


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """This process's environment for a Python process that imports from the tests as well.

    Args:
        folders: Further folders to import from.
        variables: What differs from this process's environment.
    """
    before = os.environ.get("PYTHONPATH")
    path = [*map(str, (*folders, TESTS, ROOT)), *([before] if before else [])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}
