"""The bins that are shown, and the ranges of both sides on one axis, which bins do not show."""

import math
from collections.abc import Sequence
from html import escape

from feature_platform.reports.numbers import number
from feature_platform.statistics import BinShare, Comparison, Summary
from feature_platform.statistics.comparison import SHARES

_WHISKERS, _ENDS, _BOX = (0.01, 0.99), (0.05, 0.95), (0.25, 0.75)
_SMALL, _LARGE = 22, 54
_FEW, _MOST_BINS = 14, 24  # bars of a table cell, and of a section


def shown_bins(bins: Sequence[BinShare], most: int = _MOST_BINS) -> list[BinShare]:
    """The `most` fullest bins that are not empty, in their own order."""
    filled = [each for each in bins if each.reference > 0 or each.current > 0]
    fullest = sorted(filled, key=lambda each: -max(each.reference, each.current))[:most]
    return [each for each in filled if each in fullest]


def highest(bins: Sequence[BinShare]) -> float:
    """The highest share of either side; 1 without bins."""
    return max((max(each.reference, each.current) for each in bins), default=1.0)


def ranges_svg(comparison: Comparison, *, small: bool = False) -> str:
    """Two lines from the 1% to the 99% quantile, reference above current, the middle half thick.

    `small` is for a table cell, where features that are not numbers have bars of their bins. Empty
    where there is nothing to draw.
    """
    sides = (comparison.reference, comparison.current)
    if any(each is None or not _spans(each) for each in sides):
        return _bars(comparison) if small else ""
    before, now = (each for each in sides if each is not None)
    low, high = axis_ends(comparison)
    if not high > low:
        return ""
    room = _SMALL if small else _LARGE
    lines = [
        _line(each, side, low, high, room * (0.28 + 0.44 * place))
        for place, (each, side) in enumerate(((before, "reference"), (now, "current")))
    ]
    label = (
        f"Middle half of the reference {number(_at(before, 0.25))} to {number(_at(before, 0.75))}, "
        f"of the window {number(_at(now, 0.25))} to {number(_at(now, 0.75))}"
    )
    return (
        f'<svg class="ranges" width="100%" height="{room}" role="img" aria-label="{escape(label)}">'
        f"<title>{escape(label)}</title>{''.join(lines)}</svg>"
    )


def axis_ends(comparison: Comparison) -> tuple[float, float]:
    """The values at both ends of the axis of `ranges_svg`."""
    sides = [each for each in (comparison.reference, comparison.current) if each is not None]
    return (
        min(_at(each, _WHISKERS[0]) for each in sides),
        max(_at(each, _WHISKERS[1]) for each in sides),
    )


def _spans(found: Summary) -> bool:
    return all(math.isfinite(_at(found, share)) for share in (*_WHISKERS, *_ENDS, *_BOX, 0.5))


def _at(found: Summary, share: float) -> float:
    return found.quantiles[SHARES.index(share)]


def _line(found: Summary, side: str, low: float, high: float, y: float) -> str:
    def place(value: float) -> float:
        return 1 + 98 * (value - low) / (high - low)

    parts = []
    for (left, right), tall in ((_WHISKERS, 1.0), (_ENDS, 4.0), (_BOX, 8.0)):
        start, end = place(_at(found, left)), place(_at(found, right))
        parts.append(
            f'<rect class="span {side}" x="{start:.2f}%" width="{max(0.3, end - start):.2f}%" '
            f'y="{y - tall / 2:.1f}" height="{tall:.1f}"/>'
        )
    middle = place(_at(found, 0.5))
    parts.append(
        f'<line class="middle" x1="{middle:.2f}%" x2="{middle:.2f}%" y1="{y - 6:.1f}" '
        f'y2="{y + 6:.1f}"/>'
    )
    return "".join(parts)


def _bars(comparison: Comparison) -> str:
    """The bins of the feature itself, or of a list's elements, side by side."""
    parts = [each.part for each in comparison.bins]
    wanted = "" if "" in parts and comparison.kind != "list" else "elements"
    bins = shown_bins([each for each in comparison.bins if each.part == wanted])
    if len(bins) < 2:  # noqa: PLR2004 - one bin says nothing
        return ""
    bins = shown_bins(bins, _FEW)
    top = highest(bins)
    slot = 100 / len(bins)
    drawn = "".join(
        f'<rect class="span {side}" x="{place * slot + slot * (0.1 + 0.4 * at):.2f}%" '
        f'width="{slot * 0.38:.2f}%" y="{_SMALL * (1 - share / top):.1f}" '
        f'height="{_SMALL * share / top:.1f}"/>'
        for place, each in enumerate(bins)
        for at, (side, share) in enumerate(
            (("reference", each.reference), ("current", each.current))
        )
    )
    label = f"Shares of {len(bins)} bins, reference beside the window"
    return (
        f'<svg class="ranges" width="100%" height="{_SMALL}" role="img" '
        f'aria-label="{escape(label)}"><title>{escape(label)}</title>{drawn}</svg>'
    )
