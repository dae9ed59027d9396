"""Observations that a view must be rebuilt online, or has been."""

import dagster as dg

from feature_platform.core.windows import Window

REBUILD_DUE = "feature_platform/rebuild_due"


def rebuild_due_observation(view: dg.AssetKey, window: Window) -> dg.AssetObservation:
    """Keys may have vanished from the source that the online store cannot list."""
    return dg.AssetObservation(
        asset_key=view,
        description=f"window {window} was put online again; keys that have left it since can't be "
        "detected here, and may still be served",
        metadata={REBUILD_DUE: True},
    )


REBUILT = "feature_platform/rebuilt"


def report_rebuilt(instance: dg.DagsterInstance, view: dg.AssetKey, keys_written: int) -> None:
    """Record that a view was rebuilt online: no rebuild is due any more."""
    instance.report_runless_asset_event(
        dg.AssetObservation(
            asset_key=view,
            description="rebuilt online from all materialized windows",
            metadata={REBUILT: True, "feature_platform/keys_written": keys_written},
        )
    )
