"""Pictures of one comparison, for places that only show images."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from feature_platform.reports.numbers import percent
from feature_platform.statistics import BinShare, Comparison

_WIDTH, _HEIGHT = 480, 200
_LEFT, _TOP, _BOTTOM = 8, 34, 24
_MOST_BINS = 24


def overlay_svg(comparison: Comparison) -> str:
    """Reference (hatched) and current (solid) share of each bin, as an SVG of 480 by 200 pixels.

    The background is white, so that it is readable in dark mode too.
    """
    bins = shown_bins(comparison.bins)
    title = f"{comparison.feature}: {comparison.verdict}"
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
            f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-family="sans-serif" font-size="11">'
        ),
        f"<title>{escape(title)}. {escape(comparison.sentence)}</title>",
        (
            '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><rect width="5" height="5" fill="#e4e7eb"/>'
            '<line x1="0" y1="0" x2="0" y2="5" stroke="#5b6570" stroke-width="2"/></pattern></defs>'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="16" fill="#111820" font-weight="bold">{escape(title)}</text>',
        '<rect x="320" y="8" width="12" height="9" fill="url(#hatch)" stroke="#5b6570"/>',
        '<text x="336" y="16" fill="#111820">reference</text>',
        '<rect x="404" y="8" width="12" height="9" fill="#1f5fbf"/>',
        '<text x="420" y="16" fill="#111820">current</text>',
    ]
    nothing = f'<text x="{_LEFT}" y="100" fill="#111820">nothing to draw</text>'
    return "".join([*parts, *(_bars(bins) if bins else [nothing]), "</svg>"])


def overlay_data_uri(comparison: Comparison) -> str:
    """`overlay_svg` as a data URI, for ``![](...)`` in Markdown or ``src`` in HTML."""
    encoded = b64encode(overlay_svg(comparison).encode()).decode("ascii")
    return f"data:image/svg+xml;base64,{encoded}"


def shown_bins(bins: Sequence[BinShare], most: int = _MOST_BINS) -> list[BinShare]:
    """The `most` fullest bins that are not empty, in their own order."""
    filled = [each for each in bins if each.reference > 0 or each.current > 0]
    fullest = sorted(filled, key=lambda each: -max(each.reference, each.current))[:most]
    return [each for each in filled if each in fullest]


def _bars(bins: Sequence[BinShare]) -> list[str]:
    highest = max(max(each.reference, each.current) for each in bins)
    room = _HEIGHT - _TOP - _BOTTOM
    slot = (_WIDTH - 2 * _LEFT) / len(bins)
    width = max(1.0, slot * 0.4)
    parts = []
    for place, each in enumerate(bins):
        x = _LEFT + place * slot
        sides = ((each.reference, 'url(#hatch)" stroke="#5b6570'), (each.current, "#1f5fbf"))
        for side, (share, fill) in enumerate(sides):
            height = room * share / highest
            parts.append(
                f'<rect x="{x + side * width:.1f}" y="{_TOP + room - height:.1f}" '
                f'width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'
            )
    base = _TOP + room
    ends = (
        f'<line x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _LEFT}" y2="{base}" stroke="#111820"/>',
        f'<text x="{_LEFT}" y="{base + 15}" fill="#111820">{escape(bins[0].label[:30])}</text>',
        (
            f'<text x="{_WIDTH - _LEFT}" y="{base + 15}" fill="#111820" text-anchor="end">'
            f"{escape(bins[-1].label[:30])}</text>"
        ),
        f'<text x="{_LEFT}" y="{_TOP - 4}" fill="#111820">highest bar {percent(highest)}</text>',
    )
    return [*parts, *ends]
