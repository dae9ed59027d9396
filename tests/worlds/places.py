"""Where things are in the checkout, and how a process of its own finds the same modules."""

import os
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
FRAUD_REPO = ROOT / "feature_repo"
SAMPLE_REPOS = TESTS / "feature_repos"


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """This process's environment for a Python process that imports from the tests as well.

    Args:
        folders: Further folders to import from.
        variables: What differs from this process's environment.
    """
    before = os.environ.get("PYTHONPATH")
    path = [*map(str, (*folders, TESTS, ROOT)), *([before] if before else [])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}
