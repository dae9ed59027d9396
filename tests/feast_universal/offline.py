# ruff: noqa: T201 - a script prints
"""Feast's own tests of offline stores, on its stores and on ours, and the counts of each.

    python tests/feast_universal/offline.py CHECKOUT [ours|duckdb|dask ...] [-- pytest arguments]

A second half of the same file is what Feast calls ``FULL_REPO_CONFIGS_MODULE``. Files and folders
of Parquet are always tried; Delta tables too, where the package deltalake can be installed.
Fails if a test passes with Feast's duckdb store and does not with ours.
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STORE = "FEATURE_PLATFORM_OFFLINE"
OURS = "feature_platform.plugins.PointInTimeOfflineStore"

FILES = (
    "integration/offline_store/test_universal_historical_retrieval.py",
    "integration/offline_store/test_non_entity_mode.py",
    "integration/offline_store/test_offline_write.py",
    "integration/offline_store/test_persist.py",
    "integration/offline_store/test_feature_logging.py",
    "integration/offline_store/test_push_features_to_offline_store.py",
    "integration/offline_store/test_universal_materialization.py",
    "integration/offline_store/test_universal_types.py",
    "integration/registration/test_universal_odfv_feature_inference.py",
)
PACKAGES = ("assertpy", "pytest-asyncio", "deltalake", "arro3-core", "deprecated")


def main(arguments: list[str]) -> int:
    """Run the stores that are named, or all three."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    checkout, *stores = arguments[:cut] or [""]
    tests = Path(checkout).resolve() / "sdk" / "python" / "tests"
    if not tests.is_dir():
        print("give the path of a checkout of Feast's repository", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="feast-tests-") as name:
        folder = Path(name)
        (folder / "tests").symlink_to(tests)
        packages = os.environ.get("FEAST_TEST_PACKAGES") or str(folder / "packages")
        if not Path(packages).is_dir():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            subprocess.run([*pip, "--target", packages, *PACKAGES], check=True)
        found = {
            store: outcomes(folder, packages, store, arguments[cut + 1 :])
            for store in stores or ["duckdb", "dask", "ours"]
        }
    for store, results in found.items():
        counts = Counter(results.values())
        print(f"{store}: {', '.join(f'{counts[kind]} {kind}' for kind in KINDS)}")
    worse = [
        test
        for test, outcome in found.get("duckdb", {}).items()
        if outcome == "passed" and found.get("ours", {test: "passed"}).get(test) != "passed"
    ]
    print(*(f"passes with Feast's duckdb store alone: {test}" for test in worse), sep="\n")
    return 1 if worse else 0


KINDS = ("passed", "failed", "skipped")


def outcomes(folder: Path, packages: str, store: str, more: list[str]) -> dict[str, str]:
    """What became of each test with a store: ``ours``, ``duckdb`` or ``dask``."""
    path = [str(folder), *map(str, (HERE, HERE / "plugin", HERE.parent)), packages]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")]),
        STORE: store,
        "FEATURE_PLATFORM_CLASSES": "stock",
        "FULL_REPO_CONFIGS_MODULE": "offline",
        "FEAST_IS_LOCAL_TEST": "True",
        "IS_TEST": "True",
        "FEAST_USAGE": "False",
    }
    report = folder / f"{store}.xml"
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(folder)]
    command += ["-p", "feast_stores", "-p", "pytest_asyncio", "-p", "no:randomly"]
    command += ["-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--timeout=300"]
    command += ["-q", "--tb=short", f"--junitxml={report}", "--integration", *more]
    command += [f"tests/{file}" for file in FILES if (folder / "tests" / file).exists()]
    subprocess.run(command, cwd=folder, env=environment, check=False)
    if not report.exists():
        sys.exit(f"the tests did not run with the store {store}")
    results = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it just now
        ends = {child.tag for child in case}
        failed = ends & {"failure", "error"}
        outcome = "failed" if failed else "skipped" if "skipped" in ends else "passed"
        results[f"{case.get('classname')}::{case.get('name')}"] = outcome
    return results


def _offline_stores() -> list[tuple[str, Any]]:
    """What Feast's tests take sources and the configuration of the offline store from."""
    from feast.infra.offline_stores.dask import DaskOfflineStoreConfig
    from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
    from tests.universal.feature_repos.universal.data_sources import file

    from feature_platform.offline.offline_store import PointInTimeOfflineStoreConfig

    made = {
        "ours": PointInTimeOfflineStoreConfig,
        "duckdb": DuckDBOfflineStoreConfig,
        "dask": DaskOfflineStoreConfig,
    }[os.environ[STORE]]

    class FolderSourceCreator(file.FileDataSourceCreator):  # type: ignore[misc]
        """A folder of two files; Feast's own creator of folders does not run."""

        def create_data_source(self, df: Any, *args: Any, **kwargs: Any) -> Any:
            import pyarrow as pa
            import pyarrow.parquet as pq

            whole = super().create_data_source(df, *args, **kwargs)
            folder = Path(tempfile.mkdtemp(prefix=self.project_name))
            self.dirs.append(str(folder))
            table = pa.Table.from_pandas(df)
            half = len(table) // 2
            for number, part in enumerate((table.slice(0, half), table.slice(half))):
                pq.write_table(part, folder / f"{number}.parquet")
            # Feast's duckdb store reads a folder by a pattern alone, and writes to neither.
            pattern = os.environ[STORE] == "duckdb"
            whole.file_options.uri = str(folder / "*.parquet" if pattern else folder)
            return whole

    kinds = [file.FileDataSourceCreator, FolderSourceCreator]
    if os.environ[STORE] != "dask":
        kinds.append(file.DeltaFileSourceCreator)
    return [
        (
            "local",
            type(kind.__name__, (kind,), {"create_offline_store_config": lambda _: made()}),
        )
        for kind in kinds
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
elif STORE in os.environ:
    AVAILABLE_OFFLINE_STORES = _offline_stores()
    AVAILABLE_ONLINE_STORES: dict[str, Any] = {"sqlite": ({"type": "sqlite"}, None)}
