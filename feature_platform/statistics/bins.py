"""The bins of a reference, kept for every later window: quantiles, or categories."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from feature_platform.statistics.profiles.arrays import FloatArray
from feature_platform.statistics.profiles.profile import Profile

QUANTILE_BINS = 10
CATEGORY_BINS = 30
_ATOM = 1 / (2 * QUANTILE_BINS)  # share of rows from which a single value has its own bin
_RARE = 0.005  # share of rows below which a category is part of "other"

NULL, OTHER, UNSEEN, REST = "null", "other", "unseen", "other or new"


@dataclass(frozen=True)
class Bins:
    """The bins of one feature.

    Numbers and timestamps: bins ``[edge, next edge)``, the outer two open, then one for null.
    Booleans and strings: one per category, then ``other`` (known, but rare), ``unseen`` (not in
    the reference), and null. If the set is `opened`, new categories are usual, and one bin
    ``other or new`` holds them and the rare ones.
    """

    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    categorical: bool = False
    opened: bool = False

    @classmethod
    def of(cls, reference: Profile) -> "Bins":
        """The bins of `reference`; only null where it has no values."""
        if reference.categories is not None:
            least = _RARE * reference.rows
            top = reference.categories.top(CATEGORY_BINS)
            return cls(categories=tuple(name for name, n in top if n >= least), categorical=True)
        if reference.ranks is None or not reference.ranks.count:
            return cls()
        bins = max(2, min(QUANTILE_BINS, reference.ranks.count // 10))
        quantiles = reference.ranks.quantiles(np.arange(1, bins) / bins)
        items, weights = reference.ranks.weighted
        unique, starts = np.unique(items, return_index=True)
        atoms = unique[np.add.reduceat(weights, starts) >= _ATOM * reference.ranks.count]
        # The bin of a single value ends at the next floating-point number.
        edges = np.unique(np.concatenate([quantiles, atoms, np.nextafter(atoms, math.inf)]))
        return cls(edges=tuple(float(edge) for edge in edges if math.isfinite(edge)))

    @property
    def labels(self) -> tuple[str, ...]:
        """A readable name of each bin."""
        if self.categorical:
            rest = (REST,) if self.opened else (OTHER, UNSEEN)
            return (*self.categories, *rest, NULL)
        if not self.edges:
            return ("any", NULL)
        texts = [f"{edge:.4g}" for edge in self.edges]
        inner = [
            left if np.nextafter(low, math.inf) == high else f"{left} to {right}"
            for (low, high), (left, right) in zip(
                pairwise(self.edges), pairwise(texts), strict=True
            )
        ]
        # After the bin of a single value, the last bin excludes that value.
        above = len(self.edges) > 1 and np.nextafter(self.edges[-2], math.inf) == self.edges[-1]
        return (f"< {texts[0]}", *inner, f"{'>' if above else '≥'} {texts[-1]}", NULL)

    def counts(self, profile: Profile, reference: Profile) -> FloatArray:
        """Rows of `profile` per bin of `labels`; a category that `reference` lacks is unseen."""
        if not self.categorical:
            found = profile.histogram(np.array(self.edges))
            return np.append(found, float(profile.nulls))
        seen = {} if profile.categories is None else profile.categories.counts
        own = [float(seen.get(name, 0)) for name in self.categories]
        if self.opened:
            return np.array([*own, max(0.0, profile.values - sum(own)), float(profile.nulls)])
        unseen = float(sum(unseen_counts(profile, reference).values()))
        other = max(0.0, profile.values - sum(own) - unseen)
        return np.array([*own, other, unseen, float(profile.nulls)])

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`."""
        return {
            "edges": list(self.edges),
            "categories": list(self.categories),
            "categorical": self.categorical,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Bins":
        """The inverse of `to_json`."""
        return cls(tuple(data["edges"]), tuple(data["categories"]), bool(data["categorical"]))


def unseen_counts(profile: Profile, reference: Profile) -> dict[str, int]:
    """Rows by category of `profile` that the reference lacks.

    If the reference's summary is incomplete, a category that it does not list is unseen only if it
    is far more frequent than an unlisted one can have been.
    """
    if profile.categories is None or reference.categories is None:
        return {}
    known = reference.categories
    share = known.undercount / reference.values if reference.values else 0.0
    least = 0.0 if known.complete else 3 * share * profile.values + 10
    return {
        name: count
        for name, count in profile.categories.counts.items()
        if name not in known.counts and count > least
    }
