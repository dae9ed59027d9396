"""Events that say a view has to be rebuilt, or has been."""

import dagster as dg

from feature_platform.core.windows import Window

REBUILD_DUE = "feature_platform/rebuild_due"


def rebuild_due_observation(view: dg.AssetKey, window: Window) -> dg.AssetObservation:
    """Says that keys may have vanished which cannot be named, by the online store mostly."""
    return dg.AssetObservation(
        asset_key=view,
        description=f"window {window} was online before and was put online again; which keys have "
        "left it since cannot be told here, so that they may still be served",
        metadata={REBUILD_DUE: True},
    )


REBUILT = "feature_platform/rebuilt"


def report_rebuilt(instance: dg.DagsterInstance, view: dg.AssetKey, keys_written: int) -> None:
    """Put on record that a view's online store was rebuilt; no rebuild is due any more."""
    instance.report_runless_asset_event(
        dg.AssetObservation(
            asset_key=view,
            description="rebuilt online from all materialized windows",
            metadata={REBUILT: True, "feature_platform/keys_written": keys_written},
        )
    )
