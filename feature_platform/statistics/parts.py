"""The parts of a feature that are compared: itself, lengths and elements of lists, ids' lengths."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from feature_platform.statistics.bins import Bins
from feature_platform.statistics.novelty import ID_LIKE, OPEN, Novelty, texts_of
from feature_platform.statistics.profiles.arrays import FloatArray
from feature_platform.statistics.profiles.profile import Profile
from feature_platform.statistics.reference import Baseline, Reference
from feature_platform.statistics.spread import Spread


@dataclass(frozen=True)
class Part:
    """One part of a feature on both sides.

    Its name is ``length``, ``elements``, of nested lists ``elements.length`` and so on, and empty
    for the feature itself. `nulls`: whether they are compared; those of a length are the list's.
    """

    name: str
    baseline: Baseline
    current: Profile
    bins: Bins
    spread: Spread
    novelty: Novelty
    nulls: bool = True

    @property
    def reference(self) -> Profile:
        """The profile of the baseline."""
        return self.baseline.profile

    @cached_property
    def counts(self) -> tuple[FloatArray, FloatArray]:
        """Rows of the reference and of the window, one count per bin."""
        known = self.reference
        return self.bins.counts(known, known), self.bins.counts(self.current, known)

    def between(self, variance: float) -> float:
        """The variance of the difference of both sides, from that of one window in `spread`."""
        return variance * (1 + 1 / self.baseline.windows) if self.spread.windows else 0.0


def parts_of(reference: Reference, baseline: Baseline, current: Profile) -> list[Part]:
    """The parts of a feature, where `baseline` is what `reference` has for the window's season."""
    known, novelty = baseline.profile, reference.novelty
    if known.kind == "list" and known.lengths and known.elements:
        lists = known.values, current.values
        found = [
            Part(
                name,
                replace(baseline, profile=then, windows=1),
                now,
                replace(Bins.of(then), opened=novelty.share_of(then) >= OPEN),
                Spread.of_clusters((then, lists[0]), (now, lists[1])),
                novelty,
                nulls=not name.endswith("length"),
            )
            for name, then, now in _lengths_and_elements(known, current)
        ]
        rows = replace(baseline, profile=_without_values(known))
        itself = Part("", rows, _without_values(current), Bins(), reference.spread, Novelty())
        return [*found, itself]
    bins = reference.bins
    share = novelty.share_of(known)
    if bins.categorical and share >= OPEN:
        bins = replace(bins, opened=True)
    itself = Part("", baseline, current, bins, reference.spread, novelty)
    if share < ID_LIKE or known.lengths is None or current.lengths is None:
        return [itself]
    lengths = Part(
        "length",
        replace(baseline, profile=known.lengths),
        current.lengths,
        Bins.of(known.lengths),
        novelty.lengths,
        Novelty(),
        nulls=False,
    )
    return [itself, lengths]


def verdict_basis_suffix(reference: Reference, known: Profile) -> str:
    """The end of a verdict's sentence on features that are judged in a special way, such as ids."""
    share = reference.novelty.share_of(texts_of(known))
    suffixes = []
    if known.kind == "list" and known.elements is not None and known.elements.kind == "list":
        suffixes.append(
            "nested lists are compared by length, and so are the lists in them and their elements"
        )
    if share >= ID_LIKE:
        what = "elements" if known.kind == "list" else "rows"
        length = ", length" if known.kind != "list" and known.lengths is not None else ""
        suffixes.append(
            f"like ids, {100 * share:.0f}% of its {what} are new in an ordinary window, so it is "
            f"judged by nulls{length}, repeats and frequent single values"
        )
    elif share >= OPEN:
        suffixes.append("new values are usual in it, so each is judged separately")
    return "; ".join(suffixes)


def _lengths_and_elements(
    known: Profile, current: Profile, prefix: str = ""
) -> Iterator[tuple[str, Profile, Profile]]:
    """Name and both profiles of lengths and elements, at every depth of nested lists."""
    yield f"{prefix}length", _or_empty(known.lengths), _or_empty(current.lengths)
    then, now = _or_empty(known.elements), _or_empty(current.elements)
    if then.kind == "list" and then.lengths is not None and then.elements is not None:
        yield f"{prefix}elements", _without_values(then), _without_values(now)
        yield from _lengths_and_elements(then, now, f"{prefix}elements.")
    else:
        yield f"{prefix}elements", then, now


def _or_empty(found: Profile | None) -> Profile:
    return found if found is not None else Profile("empty", 0, 0)


def _without_values(found: Profile) -> Profile:
    """Only the rows and nulls of lists."""
    return Profile("empty", found.rows, found.nulls)
