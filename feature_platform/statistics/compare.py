"""Compare windows with references: one feature, the features of a window, or many windows."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa

from feature_platform.errors import StatisticsError
from feature_platform.statistics.bins import Bins
from feature_platform.statistics.comparison import BinShare, Comparison, Summary, Verdict
from feature_platform.statistics.drift_statistics import measure
from feature_platform.statistics.parts import parts_of, verdict_basis_suffix
from feature_platform.statistics.profiles.arrays import FloatArray
from feature_platform.statistics.profiles.profile import Profile, profile
from feature_platform.statistics.reference import Reference
from feature_platform.statistics.thresholds import DEFAULT_THRESHOLDS, Thresholds, guide_rules
from feature_platform.statistics.verdicts import correct

if TYPE_CHECKING:
    from feature_platform.statistics.measures import Measure
    from feature_platform.statistics.profiles.columns import ColumnLike

ReferenceLike: TypeAlias = "Reference | Profile | ColumnLike"
CurrentLike: TypeAlias = "Profile | ColumnLike"


@dataclass(frozen=True)
class _Setting:
    """What all features of one window share."""

    season: str | None
    as_of: datetime | None
    thresholds: Thresholds
    window: str


def compare(
    reference: ReferenceLike,
    current: CurrentLike,
    *,
    feature: str | None = None,
    season: str | None = None,
    as_of: datetime | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    window: str = "",
) -> Comparison:
    """Compare one feature; `compare_many` compares several and corrects across them.

    Args:
        reference: A `Reference`, a profile, or a column (pandas or Arrow).
        current: A profile or a column of the window.
        feature: Its name; None for the reference's.
        season: Season of the window (`season_of`), for references that know seasons.
        as_of: End of the window: timestamps of columns become seconds before it.
        thresholds: How large a change matters.
        window: Name of the window.

    Raises:
        StatisticsError: There is no reference, or a column has no single type or no statistics.
    """
    if reference is None:
        raise StatisticsError(
            f"feature {feature or 'feature'!r}",
            "there is no reference to compare it with",
            "set a reference first",
        )
    name = feature or (reference.feature if isinstance(reference, Reference) else "feature")
    known = _reference(reference, name)
    found = current if isinstance(current, Profile) else profile(current, name=name, as_of=as_of)
    setting = _Setting(season, as_of, thresholds, window)
    return correct([_measured(name, known, found, setting)], thresholds)[0]


def compare_many(
    references: Mapping[str, ReferenceLike],
    currents: Mapping[str, CurrentLike] | pa.Table | pa.RecordBatch,
    *,
    season: str | None = None,
    as_of: datetime | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    window: str = "",
    threads: int | None = None,
) -> tuple[Comparison, ...]:
    """Compare the features of one window, corrected across them (Benjamini-Hochberg).

    Every feature gets a verdict: one that has a reference and is gone, or has changed its type, is
    `drift`; one that has no reference, or cannot be read, is `insufficient`.

    Args:
        references: By feature.
        currents: By feature, or an Arrow table of them.
        season: Season of the window (`season_of`), for references that know seasons.
        as_of: End of the window: timestamps of columns become seconds before it.
        thresholds: How large a change matters.
        window: Name of the window.
        threads: Threads to profile columns with; None for one per core.

    Returns:
        One for each feature of `references`, in that order, then those without a reference.
    """
    setting = _Setting(season, as_of, thresholds, window)
    return correct(_measured_many(references, currents, setting, threads), thresholds)


def compare_windows(
    references: Mapping[str, ReferenceLike],
    windows: Mapping[str, Mapping[str, CurrentLike]],
    *,
    seasons: Mapping[str, str] | None = None,
    as_of: Mapping[str, datetime] | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> dict[str, tuple[Comparison, ...]]:
    """Compare the features of several windows, corrected across features and windows together.

    Args:
        references: By feature.
        windows: Features by name of the window.
        seasons: Season by name of the window.
        as_of: End by name of the window.
        thresholds: How large a change matters.

    Returns:
        By name of the window, as `compare_many`.
    """
    measured = {
        window: _measured_many(
            references,
            currents,
            _Setting((seasons or {}).get(window), (as_of or {}).get(window), thresholds, window),
        )
        for window, currents in windows.items()
    }
    flat = iter(correct((each for group in measured.values() for each in group), thresholds))
    return {window: tuple(next(flat) for _ in group) for window, group in measured.items()}


def measure_many(
    references: Mapping[str, ReferenceLike],
    currents: Mapping[str, CurrentLike],
    *,
    season: str | None = None,
    as_of: datetime | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    window: str = "",
) -> tuple[Comparison, ...]:
    """Measure the features of one window as `compare_many` does, without verdicts yet.

    For windows that each have a reference of their own: `correct` then judges the comparisons of
    all windows as one family.
    """
    setting = _Setting(season, as_of, thresholds, window)
    return tuple(_measured_many(references, currents, setting, threads=1))


def _measured_many(
    references: Mapping[str, ReferenceLike],
    currents: Mapping[str, CurrentLike] | pa.Table | pa.RecordBatch,
    setting: _Setting,
    threads: int | None = None,
) -> list[Comparison]:
    if isinstance(currents, (pa.Table, pa.RecordBatch)):
        currents = {name: currents.column(name) for name in currents.schema.names}

    def read(name: str) -> Profile | StatisticsError | None:
        current = currents.get(name)
        if current is None or isinstance(current, Profile) or references.get(name) is None:
            return current if isinstance(current, Profile) else None
        try:
            return profile(current, name=name, as_of=setting.as_of)
        except StatisticsError as error:
            return error

    names = [*references, *(name for name in currents if name not in references)]
    workers = max(1, min(len(names), threads or os.cpu_count() or 1))
    # NumPy and Arrow release the interpreter while they read a column. What follows holds it and
    # is short, so that threads would only wait for each other.
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(read, names)) if workers > 1 else [read(name) for name in names]
    return [
        _compared(name, references.get(name), each, setting, present=name in currents)
        for name, each in zip(names, found, strict=True)
    ]


def _compared(
    name: str,
    reference: "ReferenceLike | None",
    current: Profile | StatisticsError | None,
    setting: _Setting,
    *,
    present: bool,
) -> Comparison:
    """The measures of a feature, or why there are none."""

    def unmeasured(verdict: Verdict, reason: str, sentence: str) -> Comparison:
        return Comparison(name, verdict, sentence, reason=reason, window=setting.window)

    if not present:
        sentence = f"{name} is gone: the reference has it, the window does not."
        return unmeasured("drift", "feature_gone", sentence)
    if reference is None:
        sentence = f"{name} cannot be judged: it has no reference; set one."
        return unmeasured("insufficient", "no_reference", sentence)
    try:
        known = _reference(reference, name)
    except StatisticsError as error:
        current = error
    if isinstance(current, Profile):
        return _measured(name, known, current, setting)
    problem = "it is None" if current is None else f"{current.problem}; {current.remedy}"
    return unmeasured("insufficient", "unreadable", f"{name} cannot be judged: {problem}.")


def _reference(reference: ReferenceLike, name: str) -> Reference:
    return reference if isinstance(reference, Reference) else Reference.of(reference, name)


def _measured(name: str, reference: Reference, current: Profile, setting: _Setting) -> Comparison:
    """The measures of a feature; `correct` sets the verdict, unless nothing needs measuring."""
    baseline = reference.baseline(setting.season)
    known = baseline.profile
    found = Comparison(
        *(name, "insufficient", ""),
        kind=current.kind if known.kind == "empty" else known.kind,
        reference_rows=known.rows,
        current_rows=current.rows,
        reference_label=reference.label,
        reference_version=reference.version,
        season=baseline.season,
        notes=(baseline.note,) if baseline.note else (),
        reference=Summary.of(known),
        current=Summary.of(current),
        window=setting.window,
    )
    settled = _settled(found, known, current)
    if settled is not None:
        return settled
    measures: list[Measure] = []
    shares: list[BinShare] = []
    for part in parts_of(reference, baseline, current):
        for each in measure(part, setting.thresholds):
            if part.nulls or each.name != "null_rate_change":
                full = f"{part.name}.{each.name}" if part.name else each.name
                measures.append(replace(each, statistic=full))
        shares += _bin_shares(part.name, part.bins, *part.counts)
    return replace(
        found,
        measures=tuple(measures),
        rules=guide_rules(known, current),
        bins=tuple(shares),
        basis=verdict_basis_suffix(reference, known),
    )


def _settled(found: Comparison, known: Profile, current: Profile) -> Comparison | None:
    """The comparison where there is nothing to measure, or no need to."""
    sizes = f"({current.rows:,} rows against {known.rows:,} of the reference)"
    verdict: Verdict = "drift"
    reason = "type_changed"
    if not known.rows:
        verdict, reason = "insufficient", "empty_reference"
        finding = f"cannot be judged: its reference holds no rows {sizes}"
    elif not current.rows:
        verdict, reason = "insufficient", "empty_window"
        finding = f"cannot be judged: the window holds no rows {sizes}"
    elif "empty" in (known.kind, current.kind):
        return None
    elif known.kind != current.kind:
        finding = f"has changed its type from {known.kind} to {current.kind} {sizes}"
    elif known.ages != current.ages:
        finding = (
            "has changed its meaning: ages before the window's end on one side, times since 1970 "
            f"on the other {sizes}; give as_of for both or for none"
        )
    else:
        return None
    return replace(found, verdict=verdict, sentence=f"{found.feature} {finding}.", reason=reason)


def _bin_shares(part: str, bins: Bins, before: FloatArray, now: FloatArray) -> list[BinShare]:
    if not before.sum() or not now.sum():
        return []
    before, now = before / before.sum(), now / now.sum()
    return [
        BinShare(label, float(r), float(c), part)
        for label, r, c in zip(bins.labels, before, now, strict=True)
        if part != "" or label != "any" or not np.isclose(r + c, 0)
    ]
