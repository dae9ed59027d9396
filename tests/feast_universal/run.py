"""Run Feast's own tests with Feast's classes, then with those of this package, and compare.

Usage: ``python tests/feast_universal/run.py CHECKOUT [only-ours|only-stock] [pytest arguments]``.
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).resolve().parent

INTEGRATION = (
    "integration/online_store/test_universal_online.py",
    "integration/online_store/test_universal_online_types.py",
    "integration/online_store/test_universal_e2e.py",
    "integration/online_store/test_push_features_to_online_store.py",
    "integration/online_store/test_redis_versioning.py",
    "integration/online_store/test_postgres_versioning.py",
    "integration/materialization/test_universal_materialization.py",
    "integration/offline_store/test_universal_materialization.py",
    "integration/offline_store/test_universal_types.py",
    "integration/local_feast_tests/test_e2e_local.py",
)
UNIT = (
    "unit/online_store/test_online_retrieval.py",
    "unit/online_store/test_online_writes.py",
    "unit/infra/online_store/test_helpers.py",
    "unit/infra/online_store/test_online_store_base.py",
    "unit/infra/online_store/test_redis.py",
    "unit/infra/online_store/test_redis_versioning.py",
    "unit/infra/online_store/test_postgres_versioning.py",
    "unit/infra/online_store/test_sqlite_plan.py",
    "unit/infra/compute_engines/test_local_compute_engine.py",
    "unit/infra/compute_engines/test_local_job.py",
    "unit/infra/compute_engines/test_feature_builder.py",
    "unit/infra/compute_engines/local/test_nodes.py",
    "unit/local_feast_tests/test_local_feature_store.py",
    "unit/test_materialize_version_forwarding.py",
    "unit/test_precomputed_feature_vectors.py",
    "unit/test_feature_resolution_cache.py",
)
# They ask for DynamoDB in a container.
ELSEWHERE = (
    (
        "integration/online_store/test_universal_online.py::"
        "test_async_online_retrieval_with_event_timestamps_dynamo"
    ),
    (
        "integration/online_store/test_push_features_to_online_store.py::"
        "test_push_features_and_read_async_dynamodb"
    ),
)
# They count the calls to a Redis client that is not there; the guard here is one call of a script.
OF_A_MOCK = (
    "tests.unit.infra.online_store.test_redis::test_online_write_batch_skip_dedup",
    "tests.unit.infra.online_store.test_redis::test_online_write_batch_with_dedup",
    "tests.unit.infra.online_store.test_redis::test_online_write_batch_keeps_latest_event_time",
    "tests.unit.infra.online_store.test_redis::test_online_write_batch_async",
    "tests.unit.infra.online_store.test_redis::test_online_write_batch_still_skips_rows",
)
PACKAGES = ("assertpy", "pytest-asyncio", "sqlite-vec")


def main(arguments: list[str]) -> int:
    """Both runs; 1 if a test passes with Feast's classes alone."""
    checkout = Path(arguments[0]).resolve() if arguments else Path()
    tests = checkout / "sdk" / "python" / "tests"
    if not tests.is_dir():
        _say("give the path of a checkout of Feast's repository", file=sys.stderr)
        return 2
    which = {"only-ours": ["ours"], "only-stock": ["stock"]}.get(" ".join(arguments[1:2]))
    more = arguments[2:] if which else arguments[1:]
    with tempfile.TemporaryDirectory(prefix="feast-tests-") as name:
        folder = Path(name)
        # Feast's code in the checkout stays out of the way: the installed one is tested.
        (folder / "tests").symlink_to(tests)
        packages = folder / "packages"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--target", str(packages), *PACKAGES], check=True)
        found = {
            classes: outcomes(folder, packages, classes, more)
            for classes in which or ["stock", "ours"]
        }
    for classes, results in found.items():
        counts = Counter(results.values())
        _say(f"{classes}: {', '.join(f'{counts[kind]} {kind}' for kind in KINDS)}")
    if which:
        return 0
    worse = [
        test
        for test, outcome in found["stock"].items()
        if outcome == "passed" and found["ours"].get(test) != "passed"
    ]
    mocked = [test for test in worse if test.startswith(OF_A_MOCK)]
    worse = [test for test in worse if test not in mocked]
    _say(f"of these, {len(mocked)} fail with ours alone because they mock the Redis client")
    for test in worse:
        _say(f"passes with Feast's classes alone: {test}")
    return 1 if worse or not found["ours"] else 0


KINDS = ("passed", "failed", "skipped")


def _say(text: str, file: TextIO = sys.stdout) -> None:
    file.write(f"{text}\n")
    file.flush()


def outcomes(folder: Path, packages: Path, classes: str, more: list[str]) -> dict[str, str]:
    """What became of each test.

    Args:
        folder: Where the link to Feast's tests is.
        packages: Where what they import was installed.
        classes: ``stock`` or ``ours``.
        more: Arguments for pytest.
    """
    results: dict[str, str] = {}
    path = [folder, HERE / "plugin", HERE.parent, packages, os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(each) for each in path if str(each)),
        "FEATURE_PLATFORM_CLASSES": classes,
        "FULL_REPO_CONFIGS_MODULE": "feast_repos",
        "FEAST_IS_LOCAL_TEST": "True",
        "IS_TEST": "True",
        "FEAST_USAGE": "False",
    }
    runs = (("integration", INTEGRATION, ["--integration"]), ("unit", UNIT, []))
    for kind, files, options in runs:
        report = folder / f"{classes}-{kind}.xml"
        command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(folder)]
        command += ["-p", "feast_stores", "-p", "pytest_asyncio", "-p", "no:randomly"]
        command += ["-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--timeout=300"]
        command += ["-o", "asyncio_default_fixture_loop_scope=function", "--disable-warnings"]
        command += [f"--deselect=tests/{each}" for each in ELSEWHERE]
        command += ["-q", "--tb=short", f"--junitxml={report}", *options, *more]
        command += [f"tests/{file}" for file in files if (folder / "tests" / file).exists()]
        subprocess.run(command, cwd=folder, env=environment, check=False)
        if not report.exists():
            sys.exit(f"the {kind} tests did not run with the {classes} classes")
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it just now
            test = f"{case.get('classname')}::{case.get('name')}"
            ends = {child.tag for child in case}
            failed = ends & {"failure", "error"}
            results[test] = "failed" if failed else "skipped" if "skipped" in ends else "passed"
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
