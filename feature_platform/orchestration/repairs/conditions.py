"""Declarative automation for views whose upstream assets are also in Dagster."""

from typing import Any

import dagster as dg

from feature_platform.orchestration.watch.automation_settings import AutomationSettings


def follow_upstream() -> dg.AutomationCondition[dg.AssetKey]:
    """Materialize a partition of a view whenever its source was materialized again.

    For sources that other assets of the same Dagster instance build (dbt models, ingestion), so
    that Dagster knows of every change. Every blocking check of the source has to have passed; a
    partition that was never materialized waits for the view's schedule.
    """
    condition = dg.AutomationCondition
    handled = condition.newly_requested() | condition.newly_updated()
    found: Any = (
        condition.any_deps_updated().since(handled)
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
    """The asset with the settings' condition, unless a translator has given it one."""
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
