from functools import cache
from pathlib import Path

import pytest

from feature_platform.cli.commands import doctor_command

# The same for all tests, and takes seconds; `test_preload` is about it.
_examined_once = cache(doctor_command._preload)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no pyproject.toml says where settings are, and no variable does."""
    monkeypatch.chdir(tmp_path)
    for name in ("REPO", "PROFILE", "START_DATE"):
        monkeypatch.delenv(f"FEATURE_PLATFORM_{name}", raising=False)
    monkeypatch.setattr(doctor_command, "_preload", _examined_once)
