from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no pyproject.toml says where settings are, and no variable does."""
    monkeypatch.chdir(tmp_path)
    for name in ("REPO", "PROFILE", "START_DATE"):
        monkeypatch.delenv(f"FEATURE_PLATFORM_{name}", raising=False)
