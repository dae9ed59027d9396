"""Checks of training sets: no leak, no row lost, values and labels present."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.orchestration.checks.metadata_tables import Cell, metadata_table
from feature_platform.orchestration.validation.check_declarations import (
    AGES,
    LABEL,
    NO_LEAK,
    NULL_RATES,
    ROWS_KEPT,
    CheckDeclaration,
)
from feature_platform.training.entity_rows import EntityRows

if TYPE_CHECKING:
    import pyarrow as pa

    from feature_platform.training.leak_probe import ProbedView
    from feature_platform.training.training_set import TrainingSet

# A null rate may rise by so much from one version to the next.
_NULLS_MORE = 0.05


@dataclass(frozen=True)
class BuiltSet:
    """One snapshot, with what its checks look at.

    Attributes:
        label_nulls: Rows without a label; None if the set has no label.
        label_values: Distinct labels, counted up to two; None if the set has no label.
        nulls_before: Null rate of each feature in the previous version; empty for a first one.
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
    """Collect what the checks of a snapshot look at; `table` has its rows."""
    import pyarrow.compute as pc

    nulls = values = None
    if label is not None:
        nulls, values = table.num_rows, 0
        if label in table.column_names:
            column = table.column(label)
            nulls, values = column.null_count, min(len(pc.unique(column.drop_null())), 2)
    return BuiltSet(made, entity_rows, probed, nulls, values, _nulls_before(made))


def training_set_checks(key: dg.AssetKey, rows: EntityRows) -> list[dg.AssetCheckSpec]:
    """The checks of one training set; ``label`` only if it has one."""
    declared = [each.declaration for each in _CHECKS]
    return [each.spec(key) for each in declared if each is not LABEL or rows.label]


def check_result(spec: dg.AssetCheckSpec, built: Sequence[BuiltSet]) -> dg.AssetCheckResult:
    """The result of one check on the snapshots of a run."""
    check = next(each for each in _CHECKS if each.declaration.name == spec.name)
    troubles = [
        f"{_name(each)}: {trouble}" if len(built) > 1 else trouble
        for each in built
        for trouble in check.troubles(each)
    ]
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=not troubles,
        severity=check.severity(built) if check.severity else check.declaration.severity,
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
        if view.known_later and each.made.snapshot.manifest["known_by"] is None:
            found.append(
                f"{_later(view)}; say known_by: created in the training set's settings to leave it "
                "out, or known_by: event if it could have been known"
            )
    return found


def _later(view: "ProbedView") -> str:
    return (
        f"{view.known_later} of {view.rows} rows hold values of {view.view} that were written "
        "after their time"
    )


def _leaks_severity(built: Sequence[BuiltSet]) -> dg.AssetCheckSeverity:
    """A leak is an error; what was written later, of what had happened, is a warning."""
    wrong = any(not view.well for each in built for view in each.probed)
    return dg.AssetCheckSeverity.ERROR if wrong else dg.AssetCheckSeverity.WARN


def _no_leaks(built: Sequence[BuiltSet]) -> str:
    later = [_later(view) for each in built for view in each.probed if view.known_later]
    by = built[0].made.snapshot.manifest["known_by"] if built else None
    said = f"every probed row of {_rows(built)} holds what was newest at its time"
    said += " and had been written by then" if by == "created" else ", by event time"
    return "; ".join([said, *later[:5]])


def _probe_metadata(built: Sequence[BuiltSet]) -> dict[str, Any]:
    rows = sum(view.rows for each in built for view in each.probed)
    examples = [text for each in built for view in each.probed for text in view.examples]
    metadata: dict[str, Any] = {
        "feature_platform/rows_probed": rows,
        "feature_platform/rows_known_later": sum(
            view.known_later for each in built for view in each.probed
        ),
    }
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
    return {
        "features": metadata_table(
            {"feature": "string", "null_rate": "float", "default_rate": "float"},
            [{"feature": name, **each} for name, each in facts.items()],
        ),
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
    quantiles = dict.fromkeys(("p0", "p50", "p90", "p99", "p100"), "string")
    rows: list[dict[str, Cell]] = [
        {
            "view": view.view,
            "rows": view.rows,
            "found": view.found,
            **{f"p{round(100 * q)}": _hours(age) for q, age in view.ages.items()},
        }
        for view in built[-1].probed
        if view.ages
    ]
    columns = {"view": "string", "rows": "int", "found": "int", **quantiles}
    return {"ages": metadata_table(columns, rows)}


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
    except (OSError, ValueError):  # it was deleted, or is damaged
        return {}
    return {name: each["null_rate"] for name, each in before.manifest["features"].items()}


def _rows(built: Sequence[BuiltSet]) -> int:
    return sum(each.made.rows for each in built)


@dataclass(frozen=True)
class _Check:
    """A check: what is wrong with a snapshot, the description if nothing is, and its metadata."""

    declaration: CheckDeclaration
    troubles: Callable[[BuiltSet], list[str]]
    well: Callable[[Sequence[BuiltSet]], str]
    metadata: Callable[[Sequence[BuiltSet]], dict[str, Any]] = lambda _: {}
    severity: Callable[[Sequence[BuiltSet]], dg.AssetCheckSeverity] | None = None


_CHECKS = (
    _Check(
        NO_LEAK,
        _leaks,
        _no_leaks,
        _probe_metadata,
        _leaks_severity,
    ),
    _Check(ROWS_KEPT, _lost, lambda built: f"{_rows(built)} rows, one for each entity row"),
    _Check(
        NULL_RATES,
        _nulls,
        lambda built: f"every feature has values in {_rows(built)} rows",
        _null_metadata,
    ),
    _Check(AGES, _ages, lambda _: "every feature view has values in time", _age_metadata),
    _Check(LABEL, _label, lambda built: f"{_rows(built)} rows with labels of more than one value"),
)
