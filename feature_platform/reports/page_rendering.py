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
    # Templates know the functions by their own names.
    filters = (number, percent, chance, slug, breakable, capital)
    environment.filters |= {each.__name__: each for each in filters}
    own = (bins_by_part, plain_numbers, value_in, value_of)
    functions = (axis_ends, full_title, ranges_svg, trend_svg, *own)
    environment.globals |= {each.__name__: each for each in functions} | {"marks": MARKS}
    environment.tests |= {"nan": math.isnan, "infinite": math.isinf}
    return environment


def slug(name: str) -> str:
    """`name` as part of an id: other characters than letters and digits by their code."""
    return "".join(c if c.isalnum() else f"-{ord(c):x}-" for c in name)


def breakable(name: str) -> Markup:
    """`name` with line breaks allowed after underscores, isolated from the text direction."""
    return Markup("<bdi>{}</bdi>").format(escape(name).replace("_", Markup("_<wbr>")))


def capital(text: str) -> str:
    """`text` with a capital at its start; the rest stays."""
    return text[:1].upper() + text[1:]


def value_in(measure: Measure, value: float) -> str:
    """A value of a measure, in percent if it is a share."""
    declared = STATISTICS.get(measure.name)
    return percent(value) if declared is not None and declared.is_share else number(value)


def value_of(comparison: Comparison, value: float, least: float) -> str:
    """A value of a feature; of timestamps a moment, unless `least` says that they are ages."""
    timely = comparison.kind == "timestamp" and least > _FIRST_YEARS
    return moment(value) if timely else number(value)


def bins_by_part(comparison: Comparison) -> Iterator[tuple[str, Sequence[BinShare], float]]:
    """The name of each part, its bins and the highest share; null and unseen even if empty."""
    for part, group in groupby(comparison.bins, key=lambda each: each.part):
        bins = list(group)
        filled = shown_bins(bins)
        labels = {each.label for each in filled}
        empty = [b for b in bins if b.label in _ALWAYS_SHOWN and b.label not in labels]
        yield part, [*filled, *empty], highest(filled)


def plain_numbers(comparison: Comparison) -> list[tuple[str, str, str]]:
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
        return name, value_of(comparison, b, low), value_of(comparison, n, low)

    quantiles = zip(SHARES, before.quantiles, now.quantiles, strict=True)
    return [
        *rows,
        row("Mean", before.mean, now.mean),
        ("Std", number(before.std), number(now.std)),
        row("Minimum", before.minimum, now.minimum),
        *(row(f"{100 * share:.0f}% are below", b, n) for share, b, n in quantiles),
        row("Maximum", before.maximum, now.maximum),
    ]
