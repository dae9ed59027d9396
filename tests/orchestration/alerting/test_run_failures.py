"""A run that failed is told as what it left undone, each thing once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType

from feature_platform.alerts.messages.incidents import Finding, Subject
from feature_platform.orchestration.alerting.run_failures import failed_run_findings


@dg.asset(key=["p", "source"])
def source() -> None: ...


@dg.asset(key=["p", "after"], deps=[source])
def after() -> None: ...


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec(name, asset=dg.AssetKey(["p", "source"])) for name in "abc"]
)
def crashing() -> Iterator[dg.AssetCheckResult]:
    yield dg.AssetCheckResult(asset_key=dg.AssetKey(["p", "source"]), check_name="a", passed=True)
    raise RuntimeError("no such table")


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec("d", asset=dg.AssetKey(["p", "source"]), blocking=True)]
)
def blocking() -> Iterator[dg.AssetCheckResult]:
    yield dg.AssetCheckResult(asset_key=dg.AssetKey(["p", "source"]), check_name="d", passed=False)


@dg.multi_asset(
    specs=[dg.AssetSpec(["p", "report"])],
    check_specs=[dg.AssetCheckSpec(name, asset=dg.AssetKey(["p", "report"])) for name in "xy"],
)
def report() -> Iterator[Any]:
    raise dg.Failure("the report broke off")
    yield


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as found:
        yield found


def findings(instance: dg.DagsterInstance, *definitions: Any, **tags: str) -> list[Finding]:
    """What is found after a run of these."""
    assets = [each for each in definitions if not isinstance(each, dg.AssetChecksDefinition)]
    checks = [each for each in definitions if isinstance(each, dg.AssetChecksDefinition)]
    job = dg.define_asset_job("job", tags=tags)
    whole = dg.Definitions(assets=assets, asset_checks=checks, jobs=[job])
    result = whole.resolve_job_def("job").execute_in_process(
        instance=instance, raise_on_error=False
    )
    assert not result.success
    subjects = {
        name: Subject(name, "p", "source", name) for name in ("p/source", "p/after", "p/report")
    }
    failures = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
        dagster_event_type=DagsterEventType.RUN_FAILURE
    )
    [(number, entry)] = failures.items()
    return failed_run_findings(instance, number, entry, subjects)


def test_checks_of_one_step_that_broke_off_are_one_finding(instance: dg.DagsterInstance):
    [found] = findings(instance, source, crashing)
    assert found.key == "p/source#b"  # a had given its verdict
    assert found.evidence.sentence.startswith("it and c gave no verdict: ")
    assert "no such table" in found.evidence.sentence


def test_a_step_that_was_to_materialize_and_to_check_is_one_finding(instance: dg.DagsterInstance):
    [found] = findings(instance, report)
    assert found.key == "p/report#run-failure"
    assert found.evidence.sentence == "the report broke off"


def test_a_blocking_check_and_what_it_kept_from_running_add_nothing(
    instance: dg.DagsterInstance,
):
    assert findings(instance, source, after, blocking) == []


def test_a_run_that_will_be_tried_again_is_not_told_yet(instance: dg.DagsterInstance):
    assert findings(instance, report, **{"dagster/will_retry": "true"}) == []


def test_a_run_that_was_killed_is_told_as_what_it_was_at(instance: dg.DagsterInstance):
    whole = dg.Definitions(
        assets=[source, after], asset_checks=[crashing], jobs=[dg.define_asset_job("job")]
    )
    run = instance.create_run_for_job(whole.resolve_job_def("job"))
    instance.report_run_failed(run, message="the process is gone")
    failures = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
        dagster_event_type=DagsterEventType.RUN_FAILURE
    )
    [(number, entry)] = failures.items()
    subject = {"p/source": Subject("p/source", "p", "source", "source")}
    [found] = failed_run_findings(instance, number, entry, subject)
    assert found.key == "p/source#run-failure"
    assert "the run ended in the middle of it" in found.evidence.sentence
    assert "the process is gone" in found.evidence.sentence
