"""The observation that automation has given up on partitions of an asset."""

from collections.abc import Sequence

import dagster as dg

GAVE_UP = "feature_platform/gave_up"
PARTITIONS = "feature_platform/partitions"


def report_gave_up(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Sequence[str], reason: str
) -> None:
    """Record that automation no longer tries these partitions; empty if the asset has none.

    It becomes an alert, which is resolved once each of them has been materialized. `reason` is a
    sentence: what was tried, and the last error.
    """
    instance.report_runless_asset_event(
        dg.AssetObservation(
            asset_key=asset,
            description=reason,
            metadata={GAVE_UP: True, PARTITIONS: list(partitions)},
        )
    )
