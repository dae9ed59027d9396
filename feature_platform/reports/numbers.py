"""Numbers as text."""

import math
from datetime import UTC, datetime

_DASH = "\N{EN DASH}"


def number(value: float | None) -> str:
    """`value` to three significant digits, thousands grouped; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return _DASH
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else "-\N{INFINITY}"
    size = abs(value)
    if 1000 <= size < 1e15:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(share: float | None) -> str:
    """A share in percent; a small one is ``<0.1%``, not 0."""
    if share is None or math.isnan(share):
        return _DASH
    if 0 < share < 0.0005:  # noqa: PLR2004
        return "<0.1%"
    return f"{100 * share:.1f}%"


def chance(p_value: float | None) -> str:
    """A p-value; a small one is ``<0.000001``."""
    if p_value is None or math.isnan(p_value):
        return _DASH
    if p_value < 1e-6:  # noqa: PLR2004
        return "<0.000001"
    return f"{p_value:.2g}"


def moment(seconds: float) -> str:
    """Seconds since 1970 as date and time in UTC."""
    if math.isnan(seconds):
        return _DASH
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
