"""What the checks of drift and skew reports share: one check per feature, and one of all."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import dagster as dg

from feature_platform.orchestration.graph.translator_data import DriftData, SkewData
from feature_platform.orchestration.validation.check_declarations import (
    DRIFT,
    SKEW,
    CheckDeclaration,
)

REPORT = "feature_platform/report"
WORST_FIRST = ("drift", "warn", "insufficient", "ok")
"""Verdicts."""


def feature_check_names(data: DriftData | SkewData) -> dict[str, str]:
    """Name of each feature to the name of its check; no two are the same."""
    names: dict[str, str] = {}
    taken = {_declaration(data).name}
    for feature in data.lineage:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", feature)
        name, number = plain, 2
        while name in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name)
        names[feature] = name
    return names


def report_check_specs(data: DriftData | SkewData, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The check that sums a report up, then one per feature."""
    declared = _declaration(data)
    return [
        declared.spec(key),
        *(
            dg.AssetCheckSpec(
                name=name, asset=key, description=declared.per_feature.format(feature=feature)
            )
            for feature, name in feature_check_names(data).items()
        ),
    ]


def severity(verdicts: Iterable[str]) -> dg.AssetCheckSeverity:
    """Drift is an error; a verdict of ``warn`` or ``insufficient`` is a warning."""
    kinds = dg.AssetCheckSeverity
    return kinds.ERROR if "drift" in set(verdicts) else kinds.WARN


def finite(numbers: Mapping[str, float]) -> dict[str, Any]:
    """The numbers without NaN and infinities, which the UI cannot draw."""
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def _declaration(data: DriftData | SkewData) -> CheckDeclaration:
    return replace(DRIFT, blocking=data.blocking) if isinstance(data, DriftData) else SKEW
