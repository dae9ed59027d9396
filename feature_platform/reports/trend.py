"""The severity of a feature in each window, as inline SVG."""

import math
from collections.abc import Sequence
from html import escape

from feature_platform.reports.numbers import number
from feature_platform.statistics import Comparison
from feature_platform.statistics.drift_statistics import full_title

MARKS = {"ok": "\u2713", "warn": "!", "drift": "\u25b2", "insufficient": "?"}
"""Shown with every verdict, so that colour is not the only sign."""

_HEIGHT = 64
_CAP = 2.0  # severity of a full bar


def trend_svg(history: Sequence[Comparison], *, small: bool = False) -> str:
    """Bars of severity (1 is the threshold), oldest first; without marks if `small`."""
    if not history:
        return ""
    height = 24 if small else _HEIGHT
    room = height - (2 if small else 16)
    slot = 100 / len(history)
    bars = []
    for place, each in enumerate(history):
        capped = min(_CAP, each.severity if not math.isnan(each.severity) else 0.0)
        tall = max(1.0, room * capped / _CAP)
        bars.append(
            f'<rect class="bar {each.verdict}" x="{place * slot + slot * 0.1:.2f}%" '
            f'y="{height - tall:.1f}" width="{slot * 0.8:.2f}%" height="{tall:.1f}">'
            f"<title>{escape(_bar_title(each))}</title></rect>"
        )
        if not small and each.verdict != "ok":
            bars.append(
                f'<text class="mark" x="{(place + 0.5) * slot:.2f}%" y="{height - tall - 3:.1f}" '
                f'text-anchor="middle">{MARKS[each.verdict]}</text>'
            )
    line = height - room / _CAP
    return (
        f'<svg class="trend" width="100%" height="{height}" role="img" '
        f'aria-label="{escape(_summary(history))}">'
        + "".join(bars)
        + f'<line class="threshold" x1="0" x2="100%" y1="{line:.1f}" y2="{line:.1f}"/></svg>'
    )


def _bar_title(each: Comparison) -> str:
    worst = each.worst
    title = f"{each.window or 'window'}: {each.verdict}"
    if worst is None:
        return title
    return (
        f"{title}, {full_title(worst.statistic)} {number(worst.value)} of {number(worst.threshold)}"
    )


def _summary(history: Sequence[Comparison]) -> str:
    counts = {name: sum(each.verdict == name for each in history) for name in MARKS}
    verdicts = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{len(history)} windows from {history[0].window} to {history[-1].window}: {verdicts}"
