"""One feature on the drift page: sentence, overlay, trend, every number with its threshold."""

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby

from feature_platform.reports.numbers import chance, moment, number, percent
from feature_platform.reports.pictures import shown_bins
from feature_platform.reports.ranges import axis_ends, ranges_svg
from feature_platform.reports.trend import MARKS, trend_svg
from feature_platform.statistics import BinShare, Comparison, Measure
from feature_platform.statistics.comparison import SHARES
from feature_platform.statistics.drift_statistics import STATISTICS, full_title

_FIRST_YEARS = 1e8  # seconds: what is less is an age, not a moment


def anchor(feature: str) -> str:
    """The id of a feature's section."""
    return "feature-" + "".join(c if c.isalnum() else f"-{ord(c):x}-" for c in feature)


def summary_row(comparison: Comparison, trend: Sequence[Comparison] | None) -> str:
    """Its row in the table at the top; without a trend cell where `trend` is None."""
    worst = comparison.worst
    if worst is None:
        cells = f'<td colspan="3">{escape(_reason(comparison))}</td>'
    else:
        cells = (
            f"<td>{escape(_capital(full_title(worst.statistic)))}</td>"
            f'<td class="n">{_value(worst, worst.value)}</td>'
            f'<td class="n">{_value(worst, worst.threshold)}</td>'
        )
    nulls = percent(comparison.current.null_rate) if comparison.current else percent(None)
    # For narrow screens, which have no room for the third column.
    small = (
        "" if worst is None else f"<small>{escape(_capital(full_title(worst.statistic)))}</small>"
    )
    drawn = "" if trend is None else f'<td class="spark">{trend_svg(trend, small=True)}</td>'
    return (
        f'<tr><th scope="row"><a href="#{anchor(comparison.feature)}">'
        f"{breakable(comparison.feature)}</a>{small}</th><td>{_badge(comparison)}</td>{cells}"
        f'<td class="n">{nulls}</td>{drawn}'
        f'<td class="shape">{ranges_svg(comparison, small=True)}</td></tr>'
    )


def feature_section(
    comparison: Comparison, trend: Sequence[Comparison], *, folded: bool = False
) -> str:
    """The section; one that opens when asked where `folded`."""
    notes = "".join(f'<p class="note">{escape(_capital(note))}.</p>' for note in comparison.notes)
    inner = (
        f"<p>{escape(comparison.sentence)}</p>{notes}"
        f"{_columns(_overlays(comparison) + _ranges(comparison), _plain(comparison, trend))}"
        f"{_measures(comparison)}"
    )
    heading = f"{_badge(comparison)} {breakable(comparison.feature)}"
    if comparison.kind:
        heading += f' <small class="kind">{escape(comparison.kind)}</small>'
    name = anchor(comparison.feature)
    if folded:
        # A link opens it only if it leads to something inside.
        return (
            f'<details class="feature"><summary><h3>{heading}</h3></summary>'
            f'<div id="{name}">{inner}</div></details>'
        )
    return f'<section class="feature" id="{name}"><h3>{heading}</h3>{inner}</section>'


def _plain(comparison: Comparison, trend: Sequence[Comparison]) -> str:
    return _history(trend) + _numbers(comparison)


def _ranges(comparison: Comparison) -> str:
    drawn = ranges_svg(comparison)
    if not drawn:
        return ""
    low, high = axis_ends(comparison)
    told = moment if comparison.kind == "timestamp" and low > _FIRST_YEARS else number
    return (
        '<h4>Where the values lie: 1% to 99% <span class="key reference"></span> reference, '
        f'<span class="key current"></span> {escape(comparison.window or "current")}; thick is '
        f'the middle half, the stroke the median</h4>{drawn}<p class="ends">'
        f"<span>{told(low)}</span><span>{told(high)}</span></p>"
    )


def _columns(wide: str, narrow: str) -> str:
    """The two side by side, or the one that there is."""
    if not wide or not narrow:
        return wide or narrow
    return f'<div class="columns"><div>{wide}</div><div>{narrow}</div></div>'


def _badge(comparison: Comparison) -> str:
    mark = MARKS[comparison.verdict]
    return (
        f'<span class="chip {comparison.verdict}"><span aria-hidden="true">{mark}</span> '
        f"{comparison.verdict}</span>"
    )


def _reason(comparison: Comparison) -> str:
    return comparison.reason.replace("_", " ")


def _value(measure: Measure, value: float) -> str:
    declared = STATISTICS.get(measure.name)
    return percent(value) if declared is not None and declared.is_share else number(value)


def _overlays(comparison: Comparison) -> str:
    if not comparison.bins:
        return ""
    return "".join(
        _overlay(part, list(bins), comparison)
        for part, bins in groupby(comparison.bins, key=lambda each: each.part)
    )


def _overlay(part: str, bins: Sequence[BinShare], comparison: Comparison) -> str:
    filled = shown_bins(bins)
    highest = max((max(each.reference, each.current) for each in filled), default=1.0)
    # Null and unseen are told even where nobody is in them: that nobody is, is news too.
    told = {each.label for each in filled}
    rare = [each for each in bins if each.label in ("null", "unseen") and each.label not in told]
    rows = "".join(_bin_row(each, highest) for each in [*filled, *rare])
    of = f" of the {part}" if part else ""
    return (
        f'<table class="bins"><caption>Share of rows in each bin{of}: '
        '<span class="key reference"></span> reference, <span class="key current"></span> '
        f'{escape(comparison.window or "current")}</caption><thead><tr><th scope="col">Bin</th>'
        '<td></td><th scope="col" class="n">Ref.</th><th scope="col" class="n">Now</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _bin_row(each: BinShare, highest: float) -> str:
    bars = "".join(
        f'<span class="fill {side}" style="width:{100 * share / highest:.1f}%"></span>'
        for side, share in (("reference", each.reference), ("current", each.current))
    )
    special = (
        ' class="special"' if each.label in ("null", "unseen", "other", "other or new") else ""
    )
    return (
        f'<tr{special}><th scope="row">{escape(each.label)}</th>'
        f'<td class="bars" aria-hidden="true">{bars}</td>'
        f'<td class="n">{percent(each.reference)}</td><td class="n">{percent(each.current)}</td>'
        "</tr>"
    )


def _history(trend: Sequence[Comparison]) -> str:
    if len(trend) < 2:  # noqa: PLR2004
        return ""
    return (
        f"<h4>Distance from the threshold, {len(trend)} windows</h4>{trend_svg(trend)}"
        f'<p class="ends"><span>{escape(trend[0].window)}</span><span>the line is the threshold'
        f"</span><span>{escape(trend[-1].window)}</span></p>"
    )


def _numbers(comparison: Comparison) -> str:
    before, now = comparison.reference, comparison.current
    if before is None or now is None:
        return ""
    timely = comparison.kind == "timestamp" and before.minimum > _FIRST_YEARS
    told = moment if timely else number
    rows = [
        ("Rows", f"{before.rows:,}", f"{now.rows:,}"),
        ("Null", percent(before.null_rate), percent(now.null_rate)),
        ("Distinct, about", f"{before.distinct:,}", f"{now.distinct:,}"),
    ]
    if comparison.kind in ("number", "timestamp"):
        rows += [
            ("Mean", told(before.mean), told(now.mean)),
            ("Std", number(before.std), number(now.std)),
            ("Minimum", told(before.minimum), told(now.minimum)),
            *(
                (f"{100 * share:.0f}% are below", told(b), told(n))
                for share, b, n in zip(SHARES, before.quantiles, now.quantiles, strict=True)
            ),
            ("Maximum", told(before.maximum), told(now.maximum)),
        ]
    cells = "".join(
        f'<tr><th scope="row">{name}</th><td class="n">{b}</td><td class="n">{n}</td></tr>'
        for name, b, n in rows
    )
    return (
        '<table class="plain"><caption>In plain numbers</caption><thead><tr><td></td>'
        '<th scope="col" class="n">Reference</th><th scope="col" class="n">Current</th></tr>'
        f"</thead><tbody>{cells}</tbody></table>"
    )


def _measures(comparison: Comparison) -> str:
    if not comparison.measures:
        return ""
    ordered = sorted(comparison.measures, key=lambda each: (not each.decides, -each.severity))
    rows = "".join(_measure_row(each) for each in ordered)
    rules = "; ".join(
        f"{rule.name} {number(rule.value)} of {number(rule.threshold)}"
        f"{' (broken)' if rule.broken else ''}"
        for rule in comparison.rules
        if not math.isnan(rule.value)
    )
    said = f"<p>Plain rules, whatever the sample size: {escape(rules)}.</p>" if rules else ""
    return (
        '<div class="scroll"><table class="measures"><caption>Every statistic with its threshold; '
        f"p-values, adjusted over {comparison.family} comparisons: "
        f"{chance(comparison.adjusted_p)}</caption><thead><tr>"
        '<th scope="col">Statistic</th><th scope="col" class="n">Value</th>'
        '<th scope="col" class="n">Expected</th><th scope="col" class="n">Threshold</th>'
        '<th scope="col">Set by</th><th scope="col" class="n">p</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{said}"
    )


def _measure_row(each: Measure) -> str:
    above = each.decides and each.value > each.threshold
    # Bold and a mark: the row must stand out in print too.
    value = f"<b>{MARKS['drift']} {_value(each, each.value)}</b>" if above else None
    threshold = _value(each, each.threshold) if each.decides else "\N{EN DASH}"
    if each.decides and math.isinf(each.threshold):
        threshold = "out of reach"
    return (
        f'<tr><th scope="row">{escape(_capital(full_title(each.statistic)))}</th>'
        f'<td class="n">{value or _value(each, each.value)}</td>'
        f'<td class="n">{number(each.expected) if each.expected else ""}</td>'
        f'<td class="n">{threshold}</td>'
        f"<td>{each.limited_by if each.decides else 'evidence only'}</td>"
        f'<td class="n">{chance(each.p_value)}</td></tr>'
    )


def breakable(name: str) -> str:
    """`name`, which may be broken after an underscore and turns round no text beside it."""
    return f"<bdi>{escape(name).replace('_', '_<wbr>')}</bdi>"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
