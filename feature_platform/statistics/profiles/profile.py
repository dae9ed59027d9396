"""The profile of a feature over a window: computed in one pass, merged across windows."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.errors import StatisticsError
from feature_platform.statistics.profiles.arrays import (
    FloatArray,
    finite_or_none,
    nan_if_none,
    require_schema,
)
from feature_platform.statistics.profiles.categories import Categories
from feature_platform.statistics.profiles.columns import (
    Column,
    ColumnLike,
    Kind,
    label,
    read_column,
)
from feature_platform.statistics.profiles.distinct_sketch import DistinctSketch
from feature_platform.statistics.profiles.quantile_sketch import DEFAULT_K, QuantileSketch
from feature_platform.statistics.profiles.scan import scan

SCHEMA_VERSION = 1
_DIVERSE = 0.05  # distinct over all texts from which lengths are profiled too


@dataclass(frozen=True, eq=False)
class Profile:
    """A feature over a window; `merge` gives the profile of two windows together.

    Attributes:
        kind: Its kind.
        rows: Number of rows, nulls among them.
        nulls: Rows without a value; NaN is null.
        negative_infinities: Values that are ``-inf``.
        positive_infinities: Values that are ``inf``.
        zeros: Values equal to 0.
        mean: Mean of the finite values; NaN without any. Seconds for timestamps.
        squares: Sum of squared deviations of the finite values from `mean`.
        minimum: Least finite value; NaN without any.
        maximum: Greatest finite value; NaN without any.
        ranks: Sketch of all numbers, infinities among them; None for other kinds.
        distinct: Sketch of the distinct values; of the elements for lists.
        categories: Frequent values of booleans and strings; None for other kinds.
        lengths: Profile of the lengths of lists (elements) or texts (bytes); None for other kinds.
        elements: Profile of the elements of lists; None for other kinds.
        ages: Whether timestamps are seconds before the window's end, not since 1970.
    """

    kind: Kind
    rows: int
    nulls: int
    negative_infinities: int = 0
    positive_infinities: int = 0
    zeros: int = 0
    mean: float = math.nan
    squares: float = 0.0
    minimum: float = math.nan
    maximum: float = math.nan
    ranks: QuantileSketch | None = None
    distinct: DistinctSketch = field(default_factory=DistinctSketch.empty)
    categories: Categories | None = None
    lengths: "Profile | None" = None
    elements: "Profile | None" = None
    ages: bool = False

    @property
    def values(self) -> int:
        """Rows with a value."""
        return self.rows - self.nulls

    @property
    def finite(self) -> int:
        """Values that are finite numbers."""
        return self.values - self.negative_infinities - self.positive_infinities

    @property
    def null_rate(self) -> float:
        """Share of rows without a value; NaN for no rows."""
        return self.nulls / self.rows if self.rows else math.nan

    @property
    def std(self) -> float:
        """Sample standard deviation (n - 1) of the finite values; NaN for fewer than two."""
        return math.sqrt(self.squares / (self.finite - 1)) if self.finite > 1 else math.nan

    @property
    def distinct_count(self) -> int:
        """Estimated number of distinct values; `distinct.error` is its relative error."""
        if self.categories is not None and self.categories.complete:
            return len(self.categories.counts)
        # An estimate may exceed the number of values.
        most = self.elements.values if self.elements is not None else self.values
        return min(round(self.distinct.estimate), most)

    def quantiles(self, *shares: float) -> list[float]:
        """Values at `shares` of the ranks; NaN for other kinds than numbers."""
        if self.ranks is None:
            return [math.nan] * len(shares)
        return [float(each) for each in self.ranks.quantiles(np.array(shares))]

    def histogram(self, edges: FloatArray) -> FloatArray:
        """Values in each of ``len(edges) + 1`` bins ``[edge, next edge)``, the outer ones open."""
        if self.ranks is None:
            return np.zeros(len(edges) + 1)
        return self.ranks.counts(edges)

    def merge(self, other: "Profile") -> "Profile":
        """The profile of both windows together.

        Raises:
            StatisticsError: The two are of different kinds.
        """
        kind = _common_kind(self, other)
        finite = self.finite + other.finite
        mean, squares = self.mean, self.squares
        if other.finite and self.finite:
            # Chan, Golub and LeVeque (1979): no cancellation in any order.
            delta = other.mean - self.mean
            mean += delta * other.finite / finite
            squares += other.squares + delta * delta * self.finite * other.finite / finite
        elif other.finite:
            mean, squares = other.mean, other.squares
        return Profile(
            kind=kind,
            **{name: getattr(self, name) + getattr(other, name) for name in _COUNTS},
            mean=mean,
            squares=squares,
            # fmin and fmax ignore the NaN of a window without values.
            minimum=float(np.fmin(self.minimum, other.minimum)),
            maximum=float(np.fmax(self.maximum, other.maximum)),
            ranks=_either(self.ranks, other.ranks),
            distinct=self.distinct.merge(other.distinct),
            categories=_either(self.categories, other.categories),
            lengths=_lengths(self, other),
            elements=_either(self.elements, other.elements),
            ages=self.ages or other.ages,
        )

    def compress(self, k: int = DEFAULT_K) -> "Profile":
        """The same profile with its sketches of ranks compressed to `k`."""
        return replace(
            self,
            ranks=self.ranks and self.ranks.compress(k),
            lengths=self.lengths and self.lengths.compress(k),
            elements=self.elements and self.elements.compress(k),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object of schema `SCHEMA_VERSION`, compressed; some 30 kB for a number."""
        small = self.compress()
        return {
            "schema_version": SCHEMA_VERSION,
            **{name: getattr(small, name) for name in _PLAIN},
            **{name: finite_or_none(getattr(small, name)) for name in _REAL},
            "squares": finite_or_none(small.squares),
            **{name: (part := getattr(small, name)) and part.to_json() for name in _PARTS},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Profile":
        """The inverse of `to_json`.

        Raises:
            StatisticsError: It is of another schema version.
        """
        require_schema(data, SCHEMA_VERSION, "stored profile", "profile the window again")
        fields: dict[str, Any] = {name: data[name] for name in _PLAIN}
        fields |= {name: nan_if_none(data[name]) for name in _REAL}
        parts: tuple[Any, ...] = (QuantileSketch, DistinctSketch, Categories, Profile, Profile)
        for name, part in zip(_PARTS, parts, strict=True):
            fields[name] = None if data[name] is None else part.from_json(data[name])
        squares = math.inf if data["squares"] is None else float(data["squares"])
        return cls(**fields, squares=squares)

    def exact_part(self) -> list[Any]:
        """The exact numbers as JSON, without sketches: they identify the profile."""
        return [
            *(getattr(self, name) for name in _PLAIN),
            *(finite_or_none(getattr(self, name)) for name in _REAL),
            finite_or_none(self.squares),
            self.categories and self.categories.to_json(),
            self.lengths and self.lengths.exact_part(),
            self.elements and self.elements.exact_part(),
        ]


_COUNTS = ("rows", "nulls", "negative_infinities", "positive_infinities", "zeros")
_PLAIN = ("kind", *_COUNTS, "ages")
_REAL = ("mean", "minimum", "maximum")
_PARTS = ("ranks", "distinct", "categories", "lengths", "elements")


def profile(column: ColumnLike, *, name: str = "column", as_of: datetime | None = None) -> Profile:
    """The profile of one column in memory.

    Args:
        column: An Arrow array or a pandas Series; NaN is null.
        name: Its name in errors.
        as_of: End of the window: timestamps become seconds before it.

    Raises:
        StatisticsError: The column has no single type, or one without statistics.
    """
    return _profile(read_column(column, name=name, as_of=as_of), ages=as_of is not None, name=name)


def profile_batches(
    batches: Iterable[pa.RecordBatch],
    columns: Iterable[str] | None = None,
    *,
    as_of: datetime | None = None,
) -> dict[str, Profile]:
    """Profiles of the columns of a stream of batches, read once.

    Args:
        batches: Record batches of one schema.
        columns: Names to profile; None for all.
        as_of: End of the window: timestamps become seconds before it.

    Raises:
        StatisticsError: A column is missing from a batch, or its type has no statistics.
    """
    wanted = None if columns is None else tuple(columns)
    profiles: dict[str, Profile] = {}
    for batch in batches:
        for name in batch.schema.names if wanted is None else wanted:
            if name not in batch.schema.names:
                raise StatisticsError(
                    f"feature {name!r}",
                    f"it is not among the columns {', '.join(batch.schema.names)}",
                    "select it in the query, or leave it out",
                )
            seen = profile(batch.column(name), name=name, as_of=as_of)
            profiles[name] = profiles[name].merge(seen) if name in profiles else seen
    return profiles


def merge_profiles(profiles: Iterable[Profile]) -> Profile:
    """The profile of all windows together, such as of a month from thirty days.

    Raises:
        StatisticsError: There is no profile, or they are of different kinds.
    """
    each = list(profiles)
    if not each:
        raise StatisticsError(
            "merged profile", "there is no profile to merge", "profile at least one window"
        )
    return reduce(Profile.merge, each)


def _profile(column: Column, *, ages: bool, name: str) -> Profile:
    found = Profile(column.kind, column.rows, column.rows - column.values)
    if column.numbers is not None:
        return _of_numbers(found, column.numbers, ages=ages and column.kind == "timestamp")
    if column.texts is not None:
        counts = pc.value_counts(column.texts)
        unique = counts.field("values")
        tally: Counter[str] = Counter()
        for text, count in zip(unique.to_pylist(), counts.field("counts").to_pylist(), strict=True):
            tally[label(text)] += count
        diverse = len(unique) >= _DIVERSE * len(column.texts)
        return replace(
            found,
            categories=Categories.of(tally),
            distinct=DistinctSketch.of_texts(unique),
            lengths=_text_lengths(unique, counts) if diverse else None,
        )
    if column.lists is not None:
        elements = profile(column.lists.flatten(), name=f"{name}[]")
        lengths = profile(pc.list_value_length(column.lists), name=f"{name}.length")
        return replace(found, lengths=lengths, elements=elements, distinct=elements.distinct)
    return found


def _text_lengths(unique: pa.Array, tally: pa.StructArray) -> Profile:
    counts = tally.field("counts")
    each = pc.binary_length(unique).cast(pa.float64()).to_numpy(zero_copy_only=False)
    lengths = np.repeat(each, counts.to_numpy(zero_copy_only=False))
    return _of_numbers(Profile("number", len(lengths), 0), lengths, ages=False)


def _lengths(one: Profile, other: Profile) -> Profile | None:
    """The merged lengths; None if one side has texts without lengths, as in older profiles."""
    if any(x.kind == "string" and x.values and x.lengths is None for x in (one, other)):
        return None
    merged: Profile | None = _either(one.lengths, other.lengths)
    return merged


def _of_numbers(found: Profile, numbers: FloatArray, *, ages: bool) -> Profile:
    seen = scan(numbers)
    ranks = QuantileSketch.of(numbers)
    negative = positive = 0
    finite = seen
    if math.isinf(seen.minimum) or math.isinf(seen.maximum):
        negative = int(np.count_nonzero(numbers == -math.inf))
        positive = int(np.count_nonzero(numbers == math.inf))
        finite = scan(numbers[np.isfinite(numbers)])
    return replace(
        found,
        negative_infinities=negative,
        positive_infinities=positive,
        zeros=seen.zeros,
        mean=finite.mean,
        squares=finite.squares,
        minimum=finite.minimum,
        maximum=finite.maximum,
        ranks=ranks,
        distinct=seen.distinct,
        ages=ages,
    )


def _common_kind(one: Profile, other: Profile) -> Kind:
    if one.kind == "empty":
        return other.kind
    if other.kind not in ("empty", one.kind):
        raise StatisticsError(
            "merged profile",
            f"a {one.kind} cannot be merged with a {other.kind}",
            "merge windows on one side of the change of type",
        )
    if "empty" not in (one.kind, other.kind) and one.ages != other.ages:
        raise StatisticsError(
            "merged profile",
            "ages before the window's end cannot be merged with times since 1970",
            "profile every window with as_of, or none",
        )
    return one.kind


def _either(one: Any, other: Any) -> Any:
    """Merge two parts, of which either may be missing."""
    if one is None or other is None:
        return other if one is None else one
    return one.merge(other)
