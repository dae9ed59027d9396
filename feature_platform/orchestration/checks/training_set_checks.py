"""Checks of training sets: nothing from the future, no row lost, values and labels there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.training.entity_rows import EntityRows

if TYPE_CHECKING:
    import pyarrow as pa

    from feature_platform.training.leak_probe import ProbedView
    from feature_platform.training.training_set import TrainingSet

_NULLS_MORE = 0.05
"""A null rate that rose by more than this since the last version is worth a look."""


@dataclass(frozen=True)
class BuiltSet:
    """One snapshot with what its checks are about.

    Attributes:
        made: The snapshot.
        entity_rows: How many rows were asked for.
        probed: What the probe found, view by view.
        label_nulls: Rows without a label; None where no label is named.
        label_values: Different labels, at most two counted; None where no label is named.
        nulls_before: Null rate of each feature in the version before; empty for a first one.
    """

    made: "TrainingSet"
    entity_rows: int
    probed: "Sequence[ProbedView]"
    label_nulls: int | None
    label_values: int | None
    nulls_before: Mapping[str, float]


def judge(
    made: "TrainingSet",
    table: "pa.Table",
    probed: "Sequence[ProbedView]",
    entity_rows: int,
    label: str | None,
) -> BuiltSet:
    """Collect what the checks of a snapshot are about.

    Args:
        made: The snapshot.
        table: Its rows.
        probed: What the probe found in them.
        entity_rows: How many rows were asked for.
        label: The column that is learned.
    """
    import pyarrow.compute as pc

    column = table.column(label) if label and label in table.column_names else None
    return BuiltSet(
        made,
        entity_rows,
        probed,
        label_nulls=None
        if label is None
        else table.num_rows
        if column is None
        else column.null_count,
        label_values=None
        if label is None
        else 0
        if column is None
        else min(len(pc.unique(column.drop_null())), 2),
        nulls_before=_nulls_before(made),
    )


def training_set_checks(key: dg.AssetKey, rows: EntityRows) -> list[dg.AssetCheckSpec]:
    """The checks of one training set; those of the label where one is named."""
    wanted = [name for name in _CHECKS if name != "label" or rows.label]
    return [
        dg.AssetCheckSpec(name, asset=key, description=_CHECKS[name].description) for name in wanted
    ]


def check_result(spec: dg.AssetCheckSpec, built: Sequence[BuiltSet]) -> dg.AssetCheckResult:
    """What one check says of the snapshots of a run."""
    check = _CHECKS[spec.name]
    troubles = [
        f"{_name(each)}: {trouble}" if len(built) > 1 else trouble
        for each in built
        for trouble in check.troubles(each)
    ]
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=not troubles,
        severity=check.severity,
        description="; ".join(troubles[:5]) or check.well(built),
        metadata=check.metadata(built),
    )


def _leaks(each: BuiltSet) -> list[str]:
    found = []
    for view in each.probed:
        if view.leaks:
            found.append(
                f"{view.leaks} of {view.rows} rows hold values of {view.view} from after their time"
            )
        if view.others:
            found.append(
                f"{view.others} of {view.rows} rows hold values of {view.view} other than the "
                "newest of their time"
            )
    return found


def _probe_metadata(built: Sequence[BuiltSet]) -> dict[str, Any]:
    rows = sum(view.rows for each in built for view in each.probed)
    examples = [text for each in built for view in each.probed for text in view.examples]
    metadata: dict[str, Any] = {"feature_platform/rows_probed": rows}
    if examples:
        metadata["feature_platform/examples"] = dg.MetadataValue.md(
            "\n".join(f"- `{text}`" for text in examples[:5])
        )
    return metadata


def _lost(each: BuiltSet) -> list[str]:
    if each.made.rows == each.entity_rows:
        return []
    return [f"{each.made.rows} rows for {each.entity_rows} entity rows"]


def _nulls(each: BuiltSet) -> list[str]:
    found = []
    features = each.made.snapshot.manifest["features"]
    for name, facts in features.items() if each.made.rows else ():
        rate, before = facts["null_rate"], each.nulls_before.get(name)
        if rate == 1:
            found.append(f"{name} has no value at all")
        elif before is not None and rate - before > _NULLS_MORE:
            found.append(f"{name}: {rate:.1%} null, {before:.1%} in the version before")
    return found


def _null_metadata(built: Sequence[BuiltSet]) -> dict[str, Any]:
    facts = built[-1].made.snapshot.manifest["features"]
    records = [
        dg.TableRecord(
            {"feature": name, "null_rate": each["null_rate"], "default_rate": each["default_rate"]}
        )
        for name, each in facts.items()
    ]
    columns = [
        dg.TableColumn("feature"),
        dg.TableColumn("null_rate", "float"),
        dg.TableColumn("default_rate", "float"),
    ]
    return {
        "features": dg.TableMetadataValue(records=records, schema=dg.TableSchema(columns)),
        "feature_platform/highest_null_rate": max(
            (each["null_rate"] for each in facts.values()), default=0.0
        ),
    }


def _ages(each: BuiltSet) -> list[str]:
    return [
        f"no row has a value of {view.view} in time"
        for view in each.probed
        if view.rows and not view.found
    ]


def _age_metadata(built: Sequence[BuiltSet]) -> dict[str, Any]:
    records = [
        dg.TableRecord(
            {
                "view": view.view,
                "rows": view.rows,
                "found": view.found,
                **{f"p{round(100 * q)}": _hours(age) for q, age in view.ages.items()},
            }
        )
        for view in built[-1].probed
        if view.ages
    ]
    names = ["view", "rows", "found", "p0", "p50", "p90", "p99", "p100"]
    kinds = ["string", "int", "int", *["string"] * 5]
    columns = [dg.TableColumn(*pair) for pair in zip(names, kinds, strict=True)]
    return {"ages": dg.TableMetadataValue(records=records, schema=dg.TableSchema(columns))}


def _label(each: BuiltSet) -> list[str]:
    if each.label_nulls is None or not each.made.rows:
        return []
    name = each.made.snapshot.manifest["entity_rows"]["label"]
    if each.label_nulls:
        return [f"{each.label_nulls} of {each.made.rows} rows have no label '{name}'"]
    if each.label_values == 1:
        return [f"label '{name}' is the same in all {each.made.rows} rows"]
    return []


def _name(each: BuiltSet) -> str:
    return str(each.made.snapshot.manifest["partition"] or each.made.service)


def _hours(age: timedelta) -> str:
    return f"{age / timedelta(hours=1):.1f} h"


def _nulls_before(made: "TrainingSet") -> dict[str, float]:
    from feature_platform.training.snapshots import read_snapshot

    if made.previous is None or made.previous == made.version:
        return {}
    try:
        before = read_snapshot(made.snapshot.folder.parent / made.previous)
    except (OSError, ValueError):  # somebody has cleaned up, or it is damaged
        return {}
    return {name: each["null_rate"] for name, each in before.manifest["features"].items()}


def _rows(built: Sequence[BuiltSet]) -> int:
    return sum(each.made.rows for each in built)


@dataclass(frozen=True)
class _Check:
    """What one check looks at; `severity` is that of its failure."""

    description: str
    troubles: Callable[[BuiltSet], list[str]]
    well: Callable[[Sequence[BuiltSet]], str]
    metadata: Callable[[Sequence[BuiltSet]], dict[str, Any]] = lambda _: {}
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR


_CHECKS: Mapping[str, _Check] = {
    "no_leak": _Check(
        "Probed rows hold what was newest at their time, and nothing later.",
        _leaks,
        lambda built: f"every probed row of {_rows(built)} holds what was newest at its time",
        _probe_metadata,
    ),
    "rows_kept": _Check(
        "One row for each entity row.",
        _lost,
        lambda built: f"{_rows(built)} rows, one for each entity row",
    ),
    "null_rates": _Check(
        "Every feature has values, and not clearly fewer than in the version before.",
        _nulls,
        lambda built: f"every feature has values in {_rows(built)} rows",
        _null_metadata,
        dg.AssetCheckSeverity.WARN,
    ),
    "ages": _Check(
        "How old the joined values were, by feature view.",
        _ages,
        lambda _: "every feature view has values in time",
        _age_metadata,
        dg.AssetCheckSeverity.WARN,
    ),
    "label": _Check(
        "The label is there in every row, and is not always the same.",
        _label,
        lambda built: f"{_rows(built)} rows with labels of more than one value",
    ),
}
