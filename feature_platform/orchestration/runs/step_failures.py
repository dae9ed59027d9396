"""Error messages of failed steps: what the step is about, what is wrong, and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import FeatureViewData

# Characters of an error of another library, which may quote a whole SQL statement.
_MOST = 400


@dataclass(frozen=True)
class Step:
    """What a step is about, such as ``feature view 'x'``, and the views that depend on it."""

    subject: str
    readers: Sequence[str] = ()


def steps_of(
    graph: FeastGraph,
    views: Sequence[FeatureViewData],
    translator: DagsterFeastTranslator,
    definitions: dg.Definitions,
) -> Mapping[str, Step]:
    """By its key, each step of a run that materializes `views`, and each step of their checks."""
    project = graph.project.name
    about = {
        translator.key_of(graph.registry): Step(
            f"registry of project '{project}'", [view.name for view in views]
        )
    }
    for view in views:
        about[translator.key_of(view)] = Step(f"feature view '{view.name}'", [view.name])
        for source in view.sources:
            readers = [each.name for each in views if source.name in {s.name for s in each.sources}]
            about[translator.key_of(source)] = Step(f"source '{source.name}'", readers)
    found: dict[str, Step] = {}
    for each in (*(definitions.assets or ()), *(definitions.asset_checks or ())):
        if isinstance(each, dg.AssetsDefinition) and each.is_executable:
            keys = each.keys or {check.asset_key for check in each.check_keys}
            for key in keys & about.keys():
                found[each.op.name] = about[key]
    return found


def failures_of(result: dg.ExecuteInProcessResult, steps: Mapping[str, Step]) -> list[str]:
    """One line per failed step of a run."""
    failed: dict[str | None, list[str]] = {}
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR:
                failed.setdefault(event.step_key, []).append(evaluation.check_name)
    return [
        _line(event, steps, failed.get(event.step_key, ()), result.run_id)
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.error
    ]


def _line(
    event: dg.DagsterEvent, steps: Mapping[str, Step], failed: Sequence[str], run_id: str
) -> str:
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)  # one of our errors
    step = steps.get(str(event.step_key), Step(f"step '{event.step_key}'"))
    error = failure.error
    assert error is not None  # noqa: S101 - the caller passes steps with an error
    # Dagster wraps the error of the step; the innermost one is the cause.
    while error.cause is not None:
        error = error.cause
    if error.cls_name == "DagsterAssetCheckFailedError" and failed:
        kept = ", ".join(f"'{name}'" for name in step.readers) or "what depends on it"
        return (
            f"{step.subject}: failed {_checks(failed)}, so {kept} was not put online; "
            "correct it and rerun, or materialize with --allow-failed-checks"
        )
    text = " ".join(error.message.split())
    said = text.partition(f"{error.cls_name}: ")[2] or text
    return (
        f"{step.subject}: {error.cls_name}: {said[:_MOST]}; correct what it names, or see run "
        f"{run_id} in Dagster's UI for the whole error"
    )


def _checks(names: Sequence[str]) -> str:
    return f"check{'s' * (len(names) > 1)} " + " and ".join(f"'{name}'" for name in names)
