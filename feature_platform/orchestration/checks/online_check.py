"""Checks of feature views: what is served equals the offline truth."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.partitions import partitions_within, run_windows
from feature_platform.orchestration.graph.retries import one_line_failures
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.registry.windows_on_record import materialized_windows
from feature_platform.repo.computability import why_transformed

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.materialize.read_back import Mismatch, OnlineComparison

ONLINE = "online_equals_offline"
_SAMPLE = 2000
_NO_TAGS: Mapping[str, str] = MappingProxyType({})


def build_online_check(data: FeatureViewData, key: dg.AssetKey) -> dg.AssetChecksDefinition:
    """A check that reads keys back from the online store and compares them with the source.

    All keys up to 2,000, else a sample of 2,000 seeded by the run, so that runs cover different
    keys and a failing one can be repeated.
    """
    spec = dg.AssetCheckSpec(
        name=ONLINE,
        asset=key,
        description="Values served online equal the newest materialized source rows.",
    )

    # Not @asset_check: it names its op after the key, and two keys may come to one name.
    @dg.multi_asset_check(name=f"{op_name(key)}__online_equals_offline", specs=[spec])
    def online_equals_offline(
        context: dg.AssetCheckExecutionContext,
    ) -> Iterator[dg.AssetCheckResult]:
        from feature_platform.materialize.read_back import compare_online

        seed = int(context.run.run_id[:8], 16)
        with one_line_failures():
            store = data.project.store()
            windows = compared_windows(data, store, context.run.tags)
            found = compare_online(store, data.name, windows, limit=_SAMPLE, seed=seed)
        said = online_evaluation(found, key, seed)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=said.check_name,
            passed=said.passed,
            description=said.description,
            metadata=said.metadata,
        )

    return online_equals_offline


def compared_windows(
    data: FeatureViewData, store: "FeatureStore", tags: Mapping[str, str] = _NO_TAGS
) -> list[Window] | None:
    """Of a view that Feast computes: the partitions of the run, else the newest that is online.

    They are computed again, which takes as long as materializing them. None for other views, whose
    rows of all windows are looked up.
    """
    if not why_transformed(data.obj):
        return None
    if {"dagster/partition", "dagster/asset_partition_range_start"} & set(tags):
        return list(run_windows(tags, data.partitions).values())
    online = materialized_windows(store, data.name)[-1:]
    return [
        part
        for each in online
        for window in list(partitions_within(data.partitions, each).values())[-1:]
        if (part := window.intersection(each)) is not None
    ]


def online_evaluation(
    found: "OnlineComparison", key: dg.AssetKey, seed: int, *, before: str = ""
) -> dg.AssetCheckEvaluation:
    """What a comparison says, for the check of the view with this key.

    Args:
        found: The comparison.
        key: The view's asset.
        seed: What chose the keys.
        before: What else is to be said, first.
    """
    if not found.mismatches:
        said = f"{found.keys_compared} of {found.keys_total} keys compared, all equal"
    else:
        first = found.mismatches[0]
        said = (
            f"{len(found.mismatches)} differences in {found.keys_compared} of "
            f"{found.keys_total} keys; first: {first.key} {first.feature} is "
            f"{first.online!r} online and {first.offline!r} offline"
        )
    metadata: dict[str, Any] = {
        "feature_platform/keys_compared": found.keys_compared,
        "feature_platform/keys_total": found.keys_total,
        # Text, since the UI draws a curve of every number.
        "feature_platform/seed": str(seed),
        **({"differences": _table(found.mismatches)} if found.mismatches else {}),
    }
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=ONLINE,
        passed=not found.mismatches,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{before}{said}",
        metadata=metadata,
    )


def _table(mismatches: "Sequence[Mismatch]") -> dg.TableMetadataValue:
    """The first twenty differences, a row each."""
    records = [
        dg.TableRecord(
            {
                "key": str(each.key),
                "feature": each.feature,
                "online": repr(each.online),
                "offline": repr(each.offline),
            }
        )
        for each in mismatches[:20]
    ]
    columns = [dg.TableColumn(name) for name in ("key", "feature", "online", "offline")]
    return dg.TableMetadataValue(records=records, schema=dg.TableSchema(columns))
