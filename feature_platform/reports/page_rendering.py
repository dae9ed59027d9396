"""The templates of the reports, and what they need of numbers and names."""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Any

import jinja2
from markupsafe import Markup, escape

from feature_platform.reports.numbers import chance, moment, number, percent
from feature_platform.reports.ranges import axis_ends, highest, ranges_svg, shown_bins
from feature_platform.reports.trend import MARKS, trend_svg
from feature_platform.statistics import BinShare, Comparison, Measure
from feature_platform.statistics.comparison import SHARES
from feature_platform.statistics.drift_statistics import STATISTICS, full_title

_FIRST_YEARS = 1e8  # seconds below which a timestamp is an age, not a moment
_ALWAYS_SHOWN = ("null", "unseen")


def render(template: str, **context: Any) -> str:
    """A page that fetches nothing, from a template of this package."""
    return _environment().get_template(template).render(context)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("feature_platform.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": number,
        "percent": percent,
        "chance": chance,
        "slug": _slug,
        "breakable": _breakable,
        "capital": lambda text: text[:1].upper() + text[1:],
    }
    environment.globals |= {
        "marks": MARKS,
        "axis_ends": axis_ends,
        "bins_by_part": _bins_by_part,
        "full_title": full_title,
        "plain_numbers": _plain_numbers,
        "ranges_svg": ranges_svg,
        "trend_svg": trend_svg,
        "value_in": _value_in,
        "value_of": _value_of,
    }
    environment.tests |= {"nan": math.isnan, "infinite": math.isinf}
    return environment


def _slug(name: str) -> str:
    """`name` as part of an id: other characters than letters and digits by their code."""
    return "".join(c if c.isalnum() else f"-{ord(c):x}-" for c in name)


def _breakable(name: str) -> Markup:
    """`name` with line breaks allowed after underscores, isolated from the text direction."""
    return Markup("<bdi>{}</bdi>").format(escape(name).replace("_", Markup("_<wbr>")))


def _value_in(measure: Measure, value: float) -> str:
    """A value of a measure, in percent if it is a share."""
    declared = STATISTICS.get(measure.name)
    return percent(value) if declared is not None and declared.is_share else number(value)


def _value_of(comparison: Comparison, value: float, least: float) -> str:
    """A value of a feature; of timestamps a moment, unless `least` says that they are ages."""
    timely = comparison.kind == "timestamp" and least > _FIRST_YEARS
    return moment(value) if timely else number(value)


def _bins_by_part(comparison: Comparison) -> Iterator[tuple[str, Sequence[BinShare], float]]:
    """The name of each part, its bins and the highest share; null and unseen even if empty."""
    for part, group in groupby(comparison.bins, key=lambda each: each.part):
        bins = list(group)
        filled = shown_bins(bins)
        labels = {each.label for each in filled}
        empty = [b for b in bins if b.label in _ALWAYS_SHOWN and b.label not in labels]
        yield part, [*filled, *empty], highest(filled)


def _plain_numbers(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Name and both values of the rows of the table of plain numbers."""
    before, now = comparison.reference, comparison.current
    if before is None or now is None:
        return []
    rows = [
        ("Rows", f"{before.rows:,}", f"{now.rows:,}"),
        ("Null", percent(before.null_rate), percent(now.null_rate)),
        ("Distinct, about", f"{before.distinct:,}", f"{now.distinct:,}"),
    ]
    if comparison.kind not in ("number", "timestamp"):
        return rows

    def row(name: str, b: float, n: float) -> tuple[str, str, str]:
        low = before.minimum
        return name, _value_of(comparison, b, low), _value_of(comparison, n, low)

    quantiles = zip(SHARES, before.quantiles, now.quantiles, strict=True)
    return [
        *rows,
        row("Mean", before.mean, now.mean),
        ("Std", number(before.std), number(now.std)),
        row("Minimum", before.minimum, now.minimum),
        *(row(f"{100 * share:.0f}% are below", b, n) for share, b, n in quantiles),
        row("Maximum", before.maximum, now.maximum),
    ]
