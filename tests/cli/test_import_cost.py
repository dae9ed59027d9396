"""What is not imported until it is needed."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from worlds.places import ROOT

from feature_platform.cli import main

HEAVY = ("feast", "dagster", "great_expectations", "pandas", "pyarrow", "duckdb")


def imported(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has imported after `code`."""
    script = f"{code}\nimport sys\nprint('\\nloaded', *(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in main.list_commands(click.Context(main))),
        ["demo", "-h"],
    ],
)
def test_help_imports_none_of_the_heavy_packages(arguments: list[str]):
    code = (
        "from feature_platform.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code"
    )
    assert imported(code) == set()


def test_importing_the_package_imports_none_of_them_either():
    assert imported("import feature_platform") == set()


def test_the_errors_and_windows_come_without_them_too():
    assert imported("import feature_platform.errors, feature_platform.core.windows") == set()


def test_the_public_names_are_all_there():
    code = (
        "import feature_platform\n"
        "for name in feature_platform.__all__:\n    assert getattr(feature_platform, name)"
    )
    assert {"dagster"} <= imported(code)


def test_a_name_that_is_not_there_is_an_attribute_error():
    import feature_platform

    with pytest.raises(AttributeError, match="no attribute 'FeastProjekt'"):
        _ = feature_platform.FeastProjekt


def test_the_import_rules_hold():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
