"""The drift report: one self-contained page that opens offline, worst feature first."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from feature_platform.drift.accepted import accept_command
from feature_platform.drift.drift_judge import TREND
from feature_platform.reports.document import controls, document
from feature_platform.reports.feature_section import feature_section, summary_row
from feature_platform.statistics import Comparison

if TYPE_CHECKING:
    from feature_platform.drift.drift_judge import DriftJudge
    from feature_platform.drift.drift_results import WindowDrift

_ORDER = {"drift": 0, "warn": 1, "insufficient": 2, "ok": 3}
_TRENDS = 60  # windows a trend shows at most


def window_page(
    judge: "DriftJudge", result: "WindowDrift", history: "Sequence[WindowDrift]"
) -> str:
    """The page of one judged window, as HTML.

    Args:
        judge: Who judged it.
        result: What was found of it.
        history: What was found of the windows before, oldest first.
    """
    notes = []
    if result.reference_version:
        notes.append(f"Version {result.reference_version} of the reference.")
    if result.consecutive > 1:
        notes.append(f"Drift is an error from {result.consecutive} windows in a row on.")
    return drift_page(
        result.comparisons,
        title=judge.view,
        accept=accept_command(judge, result.window) if judge.moves else "",
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
    """The page of one window.

    Args:
        comparisons: Those of the window.
        title: What was compared, such as the feature view.
        history: Comparisons of earlier windows, of any features and in any order; they are told
            apart by ``window``. Those of this window need not be among them.
        note: A sentence for the head, such as where the reference comes from.
        accept: What to type if what has drifted is meant; empty where there is no such command.

    Returns:
        HTML without anything to fetch.
    """
    ranked = sorted(comparisons, key=lambda each: (_ORDER[each.verdict], -each.severity))
    past = _by_feature(history)
    trends = {each.feature: _trend(past.get(each.feature, []), each) for each in ranked}
    alarming = [each for each in ranked if each.verdict != "ok"]
    calm = [each for each in ranked if each.verdict == "ok"]
    window = next((each.window for each in ranked if each.window), "")
    heading = f"{title}, {window}" if window else title
    body = [
        _head(heading, ranked, note),
        _overview(ranked, trends),
        _meant(accept) if any(each.verdict == "drift" for each in ranked) else "",
        "".join(feature_section(each, trends[each.feature]) for each in alarming),
    ]
    if calm:
        body.append(f'<h2 id="unchanged">Without drift ({len(calm)})</h2>')
        body += [feature_section(each, trends[each.feature], folded=True) for each in calm]
    body.append(_method())
    return document(f"Drift: {heading}", "".join(body))


def _by_feature(history: Iterable[Comparison]) -> dict[str, list[Comparison]]:
    found: dict[str, list[Comparison]] = {}
    for each in history:
        found.setdefault(each.feature, []).append(each)
    return found


def _trend(past: Sequence[Comparison], now: Comparison) -> list[Comparison]:
    """Earlier windows and this one, oldest first; the last comparison of a window counts."""
    windows = {each.window: each for each in past if not now.window or each.window <= now.window}
    windows[now.window] = now
    return [windows[name] for name in sorted(windows)][-_TRENDS:]


def _head(heading: str, ranked: Sequence[Comparison], note: str) -> str:
    counts = {name: sum(each.verdict == name for each in ranked) for name in _ORDER}
    labels = sorted({each.reference_label for each in ranked if each.reference_label})
    seasons = sorted({each.season for each in ranked if each.season})
    reference = f"Reference: {escape(', '.join(labels))}" if labels else ""
    if seasons:
        reference += f", of which {escape(', '.join(seasons))} was compared with"
    said = " ".join(escape(each) for each in (note,) if each)
    return (
        f"<header><h1>{escape(heading)}</h1>"
        f"<p>{reference}{'. ' if reference and said else ''}{said}</p></header>"
        + controls(counts, {name: name for name in counts})
    )


def _overview(ranked: Sequence[Comparison], trends: dict[str, list[Comparison]]) -> str:
    if not ranked:
        return "<p>There was no feature to compare.</p>"
    with_trend = any(len(each) > 1 for each in trends.values())
    rows = "".join(
        summary_row(each, trends[each.feature] if with_trend else None) for each in ranked
    )
    trend = '<th scope="col">Trend</th>' if with_trend else ""
    return (
        '<section aria-labelledby="features"><h2 id="features">Features, worst first</h2>'
        '<div class="scroll"><table class="overview"><thead><tr><th scope="col">Feature</th>'
        '<th scope="col">Verdict</th><th scope="col">Furthest from its threshold</th>'
        '<th scope="col" class="n">Value</th><th scope="col" class="n">Threshold</th>'
        f'<th scope="col" class="n">Nulls</th>{trend}<th scope="col" class="shape">'
        f"Values (grey: reference)</th></tr></thead><tbody>{rows}</tbody></table>"
        "</div></section>"
    )


def _meant(command: str) -> str:
    """What somebody does who knows of the change."""
    if not command:
        return ""
    return (
        '<section aria-labelledby="meant"><h2 id="meant">If the change is meant</h2><p>It alarms '
        "until it is undone or accepted: windows that have drifted are left out of the reference. "
        "To take what has drifted here for the new normal, from the first window in a row that "
        f"shows it (<code>--feature NAME</code> for one alone):</p><pre>{escape(command)}</pre>"
        "</section>"
    )


def _method() -> str:
    return (
        '<section aria-labelledby="method"><h2 id="method">How to read this</h2><p>A feature has '
        "drifted when the size of an effect is above its threshold. The threshold is the smallest "
        "effect that matters, or what chance alone reaches in windows of this many rows, if that "
        "is larger: <i>set by effect</i> or <i>set by chance</i>. The chance of any false alarm is "
        "held over all features together (Benjamini-Hochberg); windows that differ from each "
        "other in the reference itself count for fewer rows. P-values are evidence only: with "
        "enough rows they are small for changes that do not matter.</p><p>Bins were set by the "
        "reference: quantiles for numbers, with open outer bins, and one bin for each value that "
        "is very frequent; names for categories, with <i>other</i> for the rare ones, "
        "<i>unseen</i> for those that the reference does not know, and <i>null</i>. Where new "
        "values are usual, as with ids, <i>other or new</i> is one bin, and a new value alarms "
        "when it is far more frequent than new ones were in the reference.</p></section>"
    )
