"""What failed steps of a run say: what each is about, what is wrong, and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.graph.translator_data import FeatureViewData

# Characters of an error that is not ours, which may hold a whole statement.
_MOST = 400


@dataclass(frozen=True)
class Step:
    """What a step is about, in words that people know.

    Attributes:
        subject: Such as ``feature view 'x'``.
        readers: The chosen views that wait for it.
    """

    subject: str
    readers: Sequence[str] = ()


def steps_of(
    graph: FeastGraph, views: Sequence[FeatureViewData], translator: DagsterFeastTranslator
) -> Mapping[str, Step]:
    """By its key, each step of a run that materializes `views`."""
    registry = Step(f"registry of project '{graph.project.name}'", [view.name for view in views])
    step = op_name(translator.key_of(graph.registry))
    found = dict.fromkeys((step, f"{step}_registry_matches_repo"), registry)
    for view in views:
        step = op_name(translator.key_of(view))
        of_view = Step(f"feature view '{view.name}'", [view.name])
        found |= dict.fromkeys((step, f"{step}__online_equals_offline"), of_view)
        for source in view.sources:
            readers = [each.name for each in views if source.name in {s.name for s in each.sources}]
            step = op_name(translator.key_of(source))
            of_source = Step(f"source '{source.name}'", readers)
            found |= dict.fromkeys((step, f"{step}__checks"), of_source)
    return found


def failures_of(result: dg.ExecuteInProcessResult, steps: Mapping[str, Step]) -> list[str]:
    """A line for each step of a run that failed."""
    refused: dict[str | None, list[str]] = {}
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            said = event.asset_check_evaluation_data
            if not said.passed and said.severity == dg.AssetCheckSeverity.ERROR:
                refused.setdefault(event.step_key, []).append(said.check_name)
    return [
        _line(event, steps, refused.get(event.step_key, ()), result.run_id)
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.error
    ]


def _line(
    event: dg.DagsterEvent, steps: Mapping[str, Step], refused: Sequence[str], run_id: str
) -> str:
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)  # one of our errors
    step = steps.get(str(event.step_key), Step(f"step '{event.step_key}'"))
    error = failure.error
    assert error is not None  # noqa: S101 - asked only where there is one
    # Dagster wraps what a step raised; the innermost error is the one to act on.
    while error.cause is not None:
        error = error.cause
    if error.cls_name == "DagsterAssetCheckFailedError" and refused:
        kept = ", ".join(f"'{name}'" for name in step.readers) or "what waits for it"
        return (
            f"{step.subject}: failed {_checks(refused)}, so {kept} was not put online; "
            "correct it and rerun, or materialize with --allow-failed-checks"
        )
    text = " ".join(error.message.split())
    said = text.partition(f"{error.cls_name}: ")[2] or text
    return (
        f"{step.subject}: {error.cls_name}: {said[:_MOST]}; correct what it names, or look at "
        f"run {run_id} in Dagster's UI, which has all of it"
    )


def _checks(names: Sequence[str]) -> str:
    return f"check{'s' * (len(names) > 1)} " + " and ".join(f"'{name}'" for name in names)
