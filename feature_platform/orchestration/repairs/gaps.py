"""Windows that are not online although their schedule has passed."""

from datetime import datetime
from typing import Any

import dagster as dg

from feature_platform.core.windows import covers
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.orchestration.repairs.attempt_log import AttemptLog
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.repair_cause import Findings, RepairCause
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.due_windows import due_windows
from feature_platform.registry.windows_on_record import registered_views, windows_of

_MISSING = "missing"


def _gaps(
    project: AutomatedProject, _: dg.DagsterInstance, __: AttemptLog, now: datetime
) -> Findings:
    settings, found = project.settings, Findings()
    registered = registered_views(project.graph.project.store())
    for name, view in project.graph.materializable.items():
        try:
            found.wrong[name] = _missing(view, registered.get(name), settings, now)
        except Exception as error:  # noqa: BLE001 - one view's trouble is not another's
            found.note_failure(name, error)
    return found


def _missing(
    view: FeatureViewData, known: Any | None, settings: AutomationSettings, now: datetime
) -> dict[str, str]:
    """The windows of one view that are missing; `known` is the view as the registry has it."""
    online = windows_of(known) if known is not None else []
    if not online and settings.definition_changed:
        return {}  # a new view, which DEFINITION_CHANGED applies and materializes
    due = due_windows(view, now, grace=settings.grace, lookback=settings.lookback)
    return {key: _MISSING for key, each in due.items() if not covers(online, each)}


GAP = RepairCause(
    name="gap",
    description="Fills windows that are missing although their time has come.",
    label="missing",
    reason="it is missing",
    find=_gaps,
)
