"""Turn any Feast feature repo into a Dagster asset graph.

The public names are imported when they are first used: ``import feature_platform`` costs neither
Feast nor Dagster, so the command line answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feature_platform.component import FeastRepoComponent
    from feature_platform.drift.drift_settings import DriftSettings
    from feature_platform.errors import FeaturePlatformError
    from feature_platform.orchestration.builder import build_feast_definitions
    from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
    from feature_platform.orchestration.repairs.conditions import follow_upstream
    from feature_platform.orchestration.watch.automation_settings import AutomationSettings
    from feature_platform.repo.project import FeastProject
    from feature_platform.training.entity_rows import EntityRows
    from feature_platform.training.training_set import build_training_set

__all__ = [
    "AutomationSettings",
    "DagsterFeastTranslator",
    "DriftSettings",
    "EntityRows",
    "FeastProject",
    "FeastRepoComponent",
    "FeaturePlatformError",
    "build_feast_definitions",
    "build_training_set",
    "follow_upstream",
]

_HOMES = {
    "AutomationSettings": "feature_platform.orchestration.watch.automation_settings",
    "DagsterFeastTranslator": "feature_platform.orchestration.graph.translator",
    "DriftSettings": "feature_platform.drift.drift_settings",
    "EntityRows": "feature_platform.training.entity_rows",
    "FeastProject": "feature_platform.repo.project",
    "FeastRepoComponent": "feature_platform.component",
    "FeaturePlatformError": "feature_platform.errors",
    "build_feast_definitions": "feature_platform.orchestration.builder",
    "build_training_set": "feature_platform.training.training_set",
    "follow_upstream": "feature_platform.orchestration.repairs.conditions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'feature_platform' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
