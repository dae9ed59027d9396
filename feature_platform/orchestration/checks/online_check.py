"""The check of feature views that values served online equal the source."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.orchestration.checks.metadata_tables import metadata_table
from feature_platform.orchestration.graph.partitions import partitions_within, run_windows
from feature_platform.orchestration.graph.recorded_verdicts import as_result
from feature_platform.orchestration.graph.retries import one_line_failures
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.orchestration.validation.check_declarations import ONLINE
from feature_platform.registry.windows_on_record import materialized_windows
from feature_platform.repo.computability import why_transformed

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.materialize.read_back import OnlineComparison

_SAMPLE = 2000
_MOST_SHOWN = 20
_NO_TAGS: Mapping[str, str] = MappingProxyType({})


def build_online_check(data: FeatureViewData, key: dg.AssetKey) -> dg.AssetChecksDefinition:
    """A check that reads keys back from the online store and compares them with the source.

    Up to 2,000 keys, all or a sample. The run seeds the sample, so that runs cover different keys
    and a failing run can be repeated.
    """

    # Not @asset_check: it may name the ops of two keys the same.
    @dg.multi_asset_check(name=f"{op_name(key)}__{ONLINE.name}", specs=[ONLINE.spec(key)])
    def online_equals_offline(
        context: dg.AssetCheckExecutionContext,
    ) -> Iterator[dg.AssetCheckResult]:
        from feature_platform.materialize.read_back import compare_online

        seed = int(context.run.run_id[:8], 16)
        with one_line_failures():
            store = data.project.store()
            windows = compared_windows(data, store, context.run.tags)
            found = compare_online(store, data.name, windows, limit=_SAMPLE, seed=seed)
        yield as_result(online_evaluation(found, key, seed))

    return online_equals_offline


def compared_windows(
    data: FeatureViewData, store: "FeatureStore", tags: Mapping[str, str] = _NO_TAGS
) -> list[Window] | None:
    """The windows to compare; None compares the rows of all windows that are online.

    A run of partitions compares the keys that have rows from its first partition on, so that its
    cost does not follow the length of the history. A view that Feast computes is compared on the
    partitions of the run, else on its newest one online: its rows are computed again, which takes
    as long as materializing them.
    """
    is_partitioned = {"dagster/partition", "dagster/asset_partition_range_start"} & set(tags)
    of_run = list(run_windows(tags, data.partitions).values()) if is_partitioned else []
    if not why_transformed(data.obj):
        if not of_run:
            return None
        return [
            Window(max(each.start, of_run[0].start), each.end)
            for each in materialized_windows(store, data.name)
            if each.end > of_run[0].start
        ]
    if of_run:
        return of_run
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
    """The verdict of a comparison of keys sampled with `seed`; `before` begins the description."""
    if not found.mismatches:
        description = f"{found.keys_compared} of {found.keys_total} keys compared, all equal"
    else:
        first = found.mismatches[0]
        description = (
            f"{len(found.mismatches)} differences in {found.keys_compared} of "
            f"{found.keys_total} keys; first: {first.key} {first.feature} is "
            f"{first.online!r} online and {first.offline!r} offline"
        )
    metadata: dict[str, Any] = {
        "feature_platform/keys_compared": found.keys_compared,
        "feature_platform/keys_total": found.keys_total,
        # Text: the UI draws every number over the runs.
        "feature_platform/seed": str(seed),
    }
    if found.mismatches:
        metadata["differences"] = metadata_table(
            ("key", "feature", "online", "offline"),
            [
                {
                    "key": str(each.key),
                    "feature": each.feature,
                    "online": repr(each.online),
                    "offline": repr(each.offline),
                }
                for each in found.mismatches[:_MOST_SHOWN]
            ],
        )
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=ONLINE.name,
        passed=not found.mismatches,
        severity=ONLINE.severity,
        description=f"{before}{description}",
        metadata=metadata,
    )
