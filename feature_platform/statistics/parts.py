"""What of a feature is compared: itself, the lengths and elements of lists, the lengths of ids."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from feature_platform.statistics.bins import Bins
from feature_platform.statistics.novelty import ID_LIKE, OPEN, Novelty, texts_of
from feature_platform.statistics.profiles.profile import Profile
from feature_platform.statistics.reference import Baseline, Reference
from feature_platform.statistics.spread import Spread


@dataclass(frozen=True)
class Part:
    """One thing of a feature that is measured.

    Attributes:
        name: ``length``, ``elements``, of nested lists ``elements.length`` and so on; empty for the
            feature itself.
        baseline: What it is compared with.
        current: The window's.
        bins: The bins of both.
        spread: How much windows differ beyond chance.
        novelty: How new its values usually are.
        nulls: Whether its nulls are news: those of a length are those of the list.
    """

    name: str
    baseline: Baseline
    current: Profile
    bins: Bins
    spread: Spread
    novelty: Novelty
    nulls: bool = True


def parts_of(reference: Reference, baseline: Baseline, current: Profile) -> list[Part]:
    """The parts of a feature, of which `baseline` is what its reference says of the window."""
    known = baseline.profile
    if known.kind == "list" and known.lengths and known.elements:
        lists = known.values, current.values
        found = [
            Part(
                name,
                replace(baseline, profile=then, windows=1),
                now,
                _bins(then, reference.novelty),
                Spread.of_clusters((then, lists[0]), (now, lists[1])),
                reference.novelty,
                nulls=not name.endswith("length"),
            )
            for name, then, now in _inner(known, current)
        ]
        only = replace(baseline, profile=_without_values(known))
        mine = _without_values(current)
        return [*found, Part("", only, mine, Bins(), reference.spread, Novelty())]
    bins = reference.bins
    share = reference.novelty.share_of(known)
    if bins.categorical and share >= OPEN:
        bins = replace(bins, opened=True)
    itself = Part("", baseline, current, bins, reference.spread, reference.novelty)
    if share < ID_LIKE or known.lengths is None or current.lengths is None:
        return [itself]
    lengths = Part(
        "length",
        replace(baseline, profile=known.lengths),
        current.lengths,
        Bins.of(known.lengths),
        reference.novelty.lengths,
        Novelty(),
        nulls=False,
    )
    return [itself, lengths]


def basis_of(reference: Reference, known: Profile) -> str:
    """What the verdict goes by, where that is not plain; for the end of a sentence."""
    texts = texts_of(known)
    share = reference.novelty.share_of(texts)
    said = []
    if known.kind == "list" and known.elements is not None and known.elements.kind == "list":
        said.append(
            "nested lists are compared by length, and so are the lists in them and their elements"
        )
    if share >= ID_LIKE:
        what = "elements" if known.kind == "list" else "rows"
        length = ", length" if known.kind != "list" and known.lengths is not None else ""
        said.append(
            f"as ids are, {100 * share:.0f}% of its {what} are new in an ordinary window, so it is "
            f"judged by nulls{length}, repeats, and single values that are frequent"
        )
    elif share >= OPEN:
        said.append("new values are usual in it, so each of them is judged alone")
    return "; ".join(said)


def _bins(known: Profile, novelty: Novelty) -> Bins:
    return replace(Bins.of(known), opened=novelty.share_of(known) >= OPEN)


def _inner(
    known: Profile, current: Profile, under: str = ""
) -> Iterator[tuple[str, Profile, Profile]]:
    """Lengths and elements of both; of elements that are lists, theirs."""
    yield f"{under}length", _or_empty(known.lengths), _or_empty(current.lengths)
    then, now = _or_empty(known.elements), _or_empty(current.elements)
    if then.kind == "list" and then.lengths is not None and then.elements is not None:
        yield f"{under}elements", _without_values(then), _without_values(now)
        yield from _inner(then, now, f"{under}elements.")
    else:
        yield f"{under}elements", then, now


def _or_empty(found: Profile | None) -> Profile:
    return found if found is not None else Profile("empty", 0, 0)


def _without_values(found: Profile) -> Profile:
    """Only the rows and nulls of lists."""
    return Profile("empty", found.rows, found.nulls)
