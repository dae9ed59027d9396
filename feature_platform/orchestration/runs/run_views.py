"""Run the asset graph in this process, with one line per step."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import click
import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.errors import FeaturePlatformError, WindowError
from feature_platform.orchestration.builder import build_feast_definitions
from feature_platform.orchestration.code_location import FeastCodeLocation
from feature_platform.orchestration.graph.content_hashes import NOTHING_ONLINE
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.orchestration.runs.silent_runs import silent_logger
from feature_platform.orchestration.runs.step_failures import Step, failures_of, steps_of
from feature_platform.orchestration.validation.check_declarations import FRESH, TTL
from feature_platform.orchestration.watch.killed_runs import end_killed_runs, this_process

# Metadata values that JSON can hold; the others are made for the UI.
_PLAIN = (str, int, float, bool, list, dict)


@dataclass(frozen=True)
class CheckReport:
    """A check's result in a run."""

    asset: str
    check: str
    passed: bool
    severity: str
    description: str


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        succeeded: Whether every step succeeded.
        assets: Asset to the number of partitions that were materialized.
        metadata: Asset to the metadata that JSON can hold.
        checks: Results of the checks.
        failures: One line per failed step.
        unserved: Asset to partition to the reason why nothing of it went online; as a rule empty.
    """

    succeeded: bool
    assets: Mapping[str, int]
    metadata: Mapping[str, Mapping[str, object]]
    checks: Sequence[CheckReport]
    failures: Sequence[str]
    unserved: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def failed(cls, error: FeaturePlatformError) -> "RunReport":
        """A run that could not be started."""
        return cls(succeeded=False, assets={}, metadata={}, checks=[], failures=[str(error)])

    @property
    def well(self) -> bool:
        """Whether every step succeeded and every check passed."""
        return self.succeeded and all(check.passed for check in self.checks)


def partition_range(
    partitions: dg.TimeWindowPartitionsDefinition, window: Window
) -> tuple[str, str]:
    """First and last partition key of `window`.

    Raises:
        WindowError: It does not begin and end where partitions do, or is outside of them.
    """
    complete = partitions.get_last_partition_window()
    if complete is None:
        raise WindowError(
            f"window {window}",
            f"no partition is complete yet: they begin at {partitions.start.isoformat()}",
            "choose an earlier start date",
        )
    found = {
        key: each
        for key, each in partitions_within(partitions, window).items()
        if each.end <= complete.end.astimezone(UTC)
    }
    if not found:
        first, last = partitions.get_first_partition_key(), partitions.get_last_partition_key()
        raise WindowError(
            f"window {window}",
            f"has no complete partition (partitions run from {first} to {last})",
            "choose a window inside, or an earlier start date",
        )
    keys, spans = list(found), list(found.values())
    whole = Window(spans[0].start, spans[-1].end)
    if whole != window:
        raise WindowError(
            f"window {window}",
            "does not begin and end with partitions",
            f"use {whole.start.isoformat()} to {whole.end.isoformat()}",
        )
    return keys[0], keys[-1]


def run_views(
    location: FeastCodeLocation,
    views: Sequence[str],
    window: Window,
    instance: dg.DagsterInstance,
    *,
    allow_failed_checks: bool = False,
    quiet: bool = False,
    current: Collection[str] = (),
) -> RunReport:
    """Materialize `window` of `views` with registry, sources and checks, in one run.

    Sources with partitions of another length (hourly ones of a daily view) are materialized in a
    run of their own before it.

    Args:
        location: The project, with the translator and resources of its definitions.
        views: Feature views with partitions of one length.
        window: Half-open, whole partitions.
        instance: Records the runs.
        allow_failed_checks: Whether to serve windows that failed their checks.
        quiet: Whether to print nothing.
        current: Sources that were just materialized.

    Raises:
        WindowError: The window does not fit the partitions.
    """
    graph, translator = location.graph, location.translator
    selected = [graph.materializable[name] for name in views]
    partitions = selected[0].partitions
    together = {translator.key_of(graph.registry)}
    sources: set[dg.AssetKey] = set()
    apart: dict[dg.AssetKey, dg.TimeWindowPartitionsDefinition] = {}
    for view in selected:
        together.add(translator.key_of(view))
        for source in view.sources:
            key = translator.key_of(source)
            sources.add(key)
            if source.partitions == partitions:
                together.add(key)
            elif source.name not in current:
                apart[key] = source.partitions
    whole = partition_range(partitions, window)
    jobs = [_Job("materialize", together, whole, [translator.key_of(view) for view in selected])]
    if apart:
        found = partition_range(next(iter(apart.values())), window)
        jobs.insert(0, _Job("sources", set(apart), found))
    definitions = dg.Definitions.merge(
        # Whoever types a command waits for the result: no retries.
        build_feast_definitions(
            **location.arguments(alerts=None, automation=None, schedules=False, retry_policy=None)
        ),
        dg.Definitions(
            jobs=[job.define(sources if allow_failed_checks else set()) for job in jobs],
            loggers={"console": silent_logger if quiet else _progress},
        ),
    )
    config = {
        op_name(translator.key_of(view)): {"config": {"allow_failed_checks": allow_failed_checks}}
        for view in selected
    }
    steps = steps_of(graph, selected, translator, definitions)
    # They hold the pools of their views: this run would wait for them for ever.
    end_killed_runs(instance)
    reports = []
    for job in jobs:
        result = definitions.resolve_job_def(job.name).execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={
                **this_process(),
                "dagster/asset_partition_range_start": job.partitions[0],
                "dagster/asset_partition_range_end": job.partitions[1],
            },
            run_config={
                "loggers": {"console": {}},
                "ops": config if job.name == "materialize" else {},
            },
        )
        reports.append(_report(result, steps))
        if not result.success and not allow_failed_checks:
            break
    return _merged(reports)


@dataclass(frozen=True)
class _Job:
    """Assets to run together.

    The checks of freshness are about the newest window, whichever window is materialized: they are
    left out.

    Attributes:
        name: The job's name.
        keys: Keys of the assets.
        partitions: First and last partition key.
        views: Those of the keys that are feature views.
    """

    name: str
    keys: set[dg.AssetKey]
    partitions: tuple[str, str]
    views: Sequence[dg.AssetKey] = ()

    def define(self, unchecked: set[dg.AssetKey]) -> Any:
        """The job without the checks of the assets in `unchecked`.

        They are sources whose failed checks would end the run; the views check them themselves.
        """
        selection: dg.AssetSelection = dg.AssetSelection.assets(*self.keys)
        late = {
            dg.AssetCheckKey(key, each) for key in self.views for each in (FRESH.name, TTL.name)
        }
        if late:
            selection = selection - dg.AssetSelection.checks(*late)
        if unchecked:
            selection = selection - dg.AssetSelection.checks_for_assets(*unchecked)
        return dg.define_asset_job(self.name, selection)


def _merged(reports: Sequence[RunReport]) -> RunReport:
    """Several runs as one."""
    return RunReport(
        succeeded=all(report.succeeded for report in reports),
        assets={key: count for each in reports for key, count in each.assets.items()},
        metadata={key: found for each in reports for key, found in each.metadata.items()},
        checks=[check for each in reports for check in each.checks],
        failures=[failure for each in reports for failure in each.failures],
        unserved={key: found for each in reports for key, found in each.unserved.items()},
    )


def _report(result: dg.ExecuteInProcessResult, steps: Mapping[str, Step]) -> RunReport:
    assets: dict[str, int] = {}
    metadata: dict[str, dict[str, object]] = {}
    unserved: dict[str, dict[str, str]] = {}
    for event in result.get_asset_materialization_events():
        name = event.asset_key.to_user_string() if event.asset_key else ""
        assets[name] = assets.get(name, 0) + 1
        materialized = event.step_materialization_data.materialization
        found = materialized.metadata
        if NOTHING_ONLINE in found:
            why = str(found[NOTHING_ONLINE].value)
            unserved.setdefault(name, {})[materialized.partition or ""] = why
        metadata[name] = {
            key: value.value for key, value in found.items() if isinstance(value.value, _PLAIN)
        }
    checks = [
        CheckReport(
            asset=evaluation.asset_key.to_user_string(),
            check=evaluation.check_name,
            passed=evaluation.passed,
            severity=evaluation.severity.value,
            description=evaluation.description or "",
        )
        for evaluation in result.get_asset_check_evaluations()
    ]
    failures = failures_of(result, steps)
    return RunReport(result.success, assets, metadata, checks, failures, unserved)


class _StepLines(logging.Handler):
    """Prints one line per step that ends, and per warning."""

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_event", None)
        if event is None and record.levelno == logging.WARNING:
            # Such as a window that is served with --allow-failed-checks.
            text = getattr(record, "dagster_meta", {}).get("orig_message") or record.getMessage()
            click.echo(f"  {click.style('warning', fg='yellow')}  {text}", err=True)
        if event is None or event.step_key is None:
            return
        if event.event_type_value == "STEP_SUCCESS":
            seconds = event.event_specific_data.duration_ms / 1000
            click.echo(
                f"  {click.style('done', fg='green')}  {event.step_key}  {seconds:.1f} s", err=True
            )
        elif event.event_type_value == "STEP_FAILURE":
            click.echo(f"  {click.style('failed', fg='red')}  {event.step_key}", err=True)


@dg.logger(config_schema=None, description="One line per step, for people at a terminal.")
def _progress(init_context: dg.InitLoggerContext) -> logging.Logger:
    del init_context
    logger = logging.Logger("progress")  # noqa: LOG001 - belongs to one run, not to the process
    logger.addHandler(_StepLines())
    return logger
