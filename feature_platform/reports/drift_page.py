"""The drift report: one self-contained page that opens offline, worst feature first."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from feature_platform.drift.acceptance import accept_command
from feature_platform.drift.drift_judge import TREND
from feature_platform.reports.page_rendering import render
from feature_platform.statistics import Comparison
from feature_platform.statistics.comparison import WORST_FIRST

if TYPE_CHECKING:
    from feature_platform.drift.drift_judge import DriftJudge
    from feature_platform.drift.drift_results import WindowDrift

_TRENDS = 60  # most windows of a trend


def window_page(
    judge: "DriftJudge", result: "WindowDrift", history: "Sequence[WindowDrift]"
) -> str:
    """The page of one judged window, as HTML; `history` are the windows before, oldest first."""
    notes = []
    if result.reference_version:
        notes.append(f"Version {result.reference_version} of the reference.")
    if result.consecutive > 1:
        notes.append(f"Drift is an error from {result.consecutive} windows in a row on.")
    return drift_page(
        result.comparisons,
        title=judge.view,
        accept=accept_command(judge, result.window) if judge.has_moving_reference else "",
        history=[each for past in history[-TREND:] for each in past.comparisons],
        note=" ".join(notes),
    )


def drift_page(
    comparisons: Iterable[Comparison],
    *,
    title: str,
    history: Iterable[Comparison] = (),
    note: str = "",
    accept: str = "",
) -> str:
    """The page of one window, as HTML that fetches nothing.

    `history` are comparisons of earlier windows, of any features and in any order; `note` is a
    sentence for the head, `accept` the command that accepts the drift.
    """
    ranked = sorted(comparisons, key=lambda each: (WORST_FIRST[each.verdict], -each.severity))
    past: dict[str, list[Comparison]] = {}
    for each in history:
        past.setdefault(each.feature, []).append(each)
    trends = {each.feature: _trend(past.get(each.feature, []), each) for each in ranked}
    window = next((each.window for each in ranked if each.window), "")
    return render(
        "drift.html",
        section="drift_section.html",
        kind="Drift",
        heading=f"{title}, {window}" if window else title,
        about=". ".join(filter(None, (_reference(ranked), note))),
        features=ranked,
        words={verdict: verdict for verdict in WORST_FIRST},
        calm="Without drift",
        trends=trends,
        with_trend=any(len(each) > 1 for each in trends.values()),
        accept=accept,
    )


def _trend(past: Sequence[Comparison], now: Comparison) -> list[Comparison]:
    """Earlier windows and this one, oldest first; the last comparison of a window counts."""
    windows = {each.window: each for each in past if not now.window or each.window <= now.window}
    windows[now.window] = now
    return [windows[name] for name in sorted(windows)][-_TRENDS:]


def _reference(comparisons: Sequence[Comparison]) -> str:
    labels = sorted({each.reference_label for each in comparisons if each.reference_label})
    seasons = sorted({each.season for each in comparisons if each.season})
    reference = f"Reference: {', '.join(labels)}" if labels else ""
    return f"{reference}, of which {', '.join(seasons)} was compared with" if seasons else reference
