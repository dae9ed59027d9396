"""The skew report: what a service serves against what it is trained on, worst feature first."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from feature_platform.reports.document import controls, document
from feature_platform.reports.feature_section import breakable, feature_section
from feature_platform.reports.numbers import number, percent
from feature_platform.reports.trend import MARKS

if TYPE_CHECKING:
    from feature_platform.skew.parity import Cause, Parity
    from feature_platform.skew.service_skew import FeatureSkew, ServiceSkew
    from feature_platform.statistics import Verdict

_ORDER: "Mapping[Verdict, int]" = {"drift": 0, "warn": 1, "insufficient": 2, "ok": 3}
_WORDS = {"drift": "skew", "warn": "warn", "insufficient": "insufficient", "ok": "ok"}
_CAUSES: "Mapping[Cause, tuple[str, str]]" = {
    "match": ("served as trained", ""),
    "null": ("null on one side", "wrong"),
    "default": ("a default on one side: 0, empty, false, or no elements", "wrong"),
    "value": ("another value", "wrong"),
    "type": ("a value of another type", "wrong"),
    "late": ("from an older row, though the newer one should be online by now", "wrong"),
    "expired": ("older than the TTL, where training holds null", "wrong in a log"),
    "stale": ("from an older row; the newer one is not due yet", ""),
    "ahead": ("pushed since by a stream", ""),
    "absent": ("no row on either side; not counted", ""),
}


def skew_page(found: "ServiceSkew") -> str:
    """The page of one comparison.

    Returns:
        HTML without anything to fetch.
    """
    ranked = sorted(found.features, key=lambda each: (_ORDER[each.verdict], _rate(each)))
    heading = f"{found.service}: served against trained"
    alarming = [each for each in ranked if each.verdict != "ok"]
    calm = [each for each in ranked if each.verdict == "ok"]
    body = [_head(heading, ranked, found), _overview(ranked)]
    body += [_section(each) for each in alarming]
    if calm:
        body.append(f'<h2 id="unchanged">Served as trained ({len(calm)})</h2>')
        body += [_section(each, folded=True) for each in calm]
    body.append(_method())
    return document(f"Skew: {heading}", "".join(body))


def _rate(each: "FeatureSkew") -> float:
    return -1.0 if math.isnan(each.match_rate) else each.match_rate


def _name(each: "FeatureSkew") -> str:
    return each.name if each.origin == "online" else f"{each.name} (logged)"


def _anchor(each: "FeatureSkew") -> str:
    return f"{each.origin}-" + "".join(c if c.isalnum() else f"-{ord(c):x}-" for c in each.name)


def _badge(each: "FeatureSkew") -> str:
    return (
        f'<span class="chip {each.verdict}"><span aria-hidden="true">{MARKS[each.verdict]}</span> '
        f"{_WORDS[each.verdict]}</span>"
    )


def _head(heading: str, ranked: "Sequence[FeatureSkew]", found: "ServiceSkew") -> str:
    counts: dict[str, int] = {name: sum(each.verdict == name for each in ranked) for name in _ORDER}
    keys = ", ".join(f"{name} {count:,}" for name, count in found.populations.items())
    said = (
        f"Read online at {found.moment:%Y-%m-%d %H:%M:%S} UTC with {found.requests:,} requests "
        f"(seed {found.seed}). Keys in the materialized windows: {keys or 'none'}."
    )
    notes = "".join(
        f'<p class="note">{escape(note[:1].upper() + note[1:])}.</p>' for note in found.notes
    )
    return f"<header><h1>{escape(heading)}</h1><p>{escape(said)}</p>{notes}</header>" + controls(
        counts, _WORDS
    )


def _overview(ranked: "Sequence[FeatureSkew]") -> str:
    if not ranked:
        return "<p>The service serves no feature.</p>"
    rows = "".join(_row(each) for each in ranked)
    names = ("Compared", "As trained", "Null", "Default", "Other", "Older", "PSI", "KS")
    heads = "".join(f'<th scope="col" class="n">{name}</th>' for name in names)
    return (
        '<section aria-labelledby="features"><h2 id="features">Features, worst first</h2>'
        '<div class="scroll"><table><thead><tr><th scope="col">Feature</th>'
        f'<th scope="col">Verdict</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        "</div></section>"
    )


def _row(each: "FeatureSkew") -> str:
    if each.parity is None:
        cells = '<td colspan="8">not compared</td>'
    else:
        shares = (
            each.match_rate,
            each.parity.share("null"),
            each.parity.share("default"),
            each.parity.share("value", "type"),
            each.parity.share("stale", "late", "expired"),
        )
        told = [f"{each.parity.compared:,}", *(percent(share) for share in shares)]
        told += [number(each.statistic("psi")), number(each.statistic("ks"))]
        cells = "".join(f'<td class="n">{cell}</td>' for cell in told)
    return (
        f'<tr><th scope="row"><a href="#{_anchor(each)}">'
        f"{breakable(_name(each))}</a></th><td>{_badge(each)}</td>{cells}</tr>"
    )


def _section(each: "FeatureSkew", *, folded: bool = False) -> str:
    inner = f"<p>{breakable(each.sentence)}</p>"
    if each.parity is not None:
        inner += _causes(each.parity) + _examples(each.parity)
    if each.comparison is not None and each.comparison.measures:
        inner += "<h4>The two distributions, training being the reference</h4>"
        inner += feature_section(each.comparison, [], folded=True)
    heading = f"{_badge(each)} {breakable(_name(each))}"
    if folded:
        return (
            f'<details class="feature" id="{_anchor(each)}"><summary><h3>{heading}</h3></summary>'
            f"{inner}</details>"
        )
    return f'<section class="feature" id="{_anchor(each)}"><h3>{heading}</h3>{inner}</section>'


def _causes(parity: "Parity") -> str:
    total = parity.compared
    rows = "".join(
        f'<tr><th scope="row">{told}</th><td class="n">{count:,}</td>'
        f'<td class="n">{percent(count / total) if total and cause != "absent" else ""}</td>'
        f"<td>{judged}</td></tr>"
        for cause, (told, judged) in _CAUSES.items()
        if (count := parity.counts.get(cause, 0))
    )
    return (
        '<div class="scroll"><table><caption>What each value is</caption><thead><tr>'
        '<th scope="col">Value</th><th scope="col" class="n">Keys</th>'
        '<th scope="col" class="n">Share</th><th scope="col">Counts as</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _examples(parity: "Parity") -> str:
    if not parity.examples:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(_key(each.key))}</th><td>{escape(_short(each.served))}</td>'
        f"<td>{escape(_short(each.training))}</td><td>{each.cause}</td></tr>"
        for each in parity.examples
    )
    return (
        '<div class="scroll"><table><caption>For example</caption><thead><tr>'
        '<th scope="col">Key</th><th scope="col">Served</th><th scope="col">Trained</th>'
        f'<th scope="col">Cause</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _key(key: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in key.items()) or "(no key)"


def _short(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004


def _method() -> str:
    return (
        '<section aria-labelledby="method"><h2 id="method">How to read this</h2><p>Keys are drawn '
        "from the rows that are online, and asked for as a model asks. What training holds is the "
        "point-in-time join of the same keys at the same moment, with its transformations; a "
        "logged vector is joined at the moment it was served. Values are compared pair by pair, "
        "exactly; numbers that a transformation computes may differ by one in a million.</p><p>"
        "A served value that comes from an older row than training's is skew only if the newer row "
        "should be online by now: because its window is materialized, or because it is older than "
        "the view's freshness allows. Distributions are compared with training as the reference, "
        "by the size of the effect, as in the drift report.</p></section>"
    )
