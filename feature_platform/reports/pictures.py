"""Pictures of one comparison, for places that only show images."""

from base64 import b64encode

from feature_platform.reports.page_rendering import render
from feature_platform.reports.ranges import highest, shown_bins
from feature_platform.statistics import Comparison


def overlay_svg(comparison: Comparison) -> str:
    """Reference (hatched) and current (solid) share of each bin, as an SVG of 480 by 200 pixels."""
    bins = shown_bins(comparison.bins)
    return render(
        "overlay.svg",
        title=f"{comparison.feature}: {comparison.verdict}",
        sentence=comparison.sentence,
        bins=bins,
        highest=highest(bins),
    )


def overlay_data_uri(comparison: Comparison) -> str:
    """`overlay_svg` as a data URI, for ``![](...)`` in Markdown or ``src`` in HTML."""
    encoded = b64encode(overlay_svg(comparison).encode()).decode("ascii")
    return f"data:image/svg+xml;base64,{encoded}"
