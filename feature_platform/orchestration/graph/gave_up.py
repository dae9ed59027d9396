"""How automation says that it has stopped trying, so that somebody hears of it."""

from collections.abc import Sequence

import dagster as dg

GAVE_UP = "feature_platform/gave_up"
PARTITIONS = "feature_platform/partitions"


def report_gave_up(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Sequence[str], reason: str
) -> None:
    """Put on record that nothing more is tried for these partitions of an asset.

    It becomes an alert, which is over once each of them has been materialized.

    Args:
        instance: Where it is recorded, as an observation of the asset.
        asset: The asset.
        partitions: Its partitions; empty where it has none.
        reason: What was tried, and what went wrong last, as a sentence.
    """
    instance.report_runless_asset_event(
        dg.AssetObservation(
            asset_key=asset,
            description=reason,
            metadata={GAVE_UP: True, PARTITIONS: list(partitions)},
        )
    )
