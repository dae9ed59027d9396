"""Declarative automation for views whose upstream assets are in Dagster too."""

from typing import Any

import dagster as dg

from feature_platform.orchestration.watch.automation_settings import AutomationSettings


def follow_upstream() -> dg.AutomationCondition[dg.AssetKey]:
    """Materialize a partition of a view whenever its source was materialized again.

    For sources that other assets of the same Dagster build (dbt models, ingestion): Dagster is told
    of every change, so nothing has to be looked for. Only where every blocking check of the source
    has passed; a partition that has never been there waits for the view's schedule.
    """
    condition = dg.AutomationCondition
    asked_or_done = condition.newly_requested() | condition.newly_updated()
    found: Any = (
        condition.any_deps_updated().since(asked_or_done)
        & condition.all_deps_blocking_checks_passed()
        & ~condition.any_deps_missing()
        & ~condition.missing()
        & ~condition.in_progress()
    )
    labelled: dg.AutomationCondition[dg.AssetKey] = found.with_label("follows its upstream")
    return labelled


def conditioned(
    asset: dg.AssetsDefinition, settings: AutomationSettings | None
) -> dg.AssetsDefinition:
    """The asset with the settings' condition, unless it has one of its own from a translator."""
    if settings is None or settings.condition is None:
        return asset
    condition = settings.condition
    return asset.map_asset_specs(
        lambda spec: (
            spec
            if spec.automation_condition
            else spec.replace_attributes(automation_condition=condition)
        )
    )
