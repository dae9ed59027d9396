"""The skew report: what a service serves against what it is trained on, worst feature first."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from feature_platform.reports.page_rendering import render
from feature_platform.skew.parity import CAUSES, WRONG
from feature_platform.statistics.comparison import WORST_FIRST

if TYPE_CHECKING:
    from feature_platform.skew.parity import Cause
    from feature_platform.skew.service_skew import FeatureSkew, ServiceSkew

_LONGEST = 80  # characters of a value


def skew_page(found: "ServiceSkew") -> str:
    """The page of one comparison, as HTML that fetches nothing."""
    return render(
        "skew.html",
        section="skew_section.html",
        kind="Skew",
        heading=f"{found.service}: served against trained",
        found=found,
        moment=f"{found.moment:%Y-%m-%d %H:%M:%S}",
        features=sorted(found.features, key=_rank),
        words={verdict: "skew" if verdict == "drift" else verdict for verdict in WORST_FIRST},
        calm="Without skew",
        causes={cause: (CAUSES[cause], _counts_as(cause)) for cause in CAUSES},
        key_text=_key_text,
        short=_short,
    )


def _counts_as(cause: "Cause") -> str:
    return "wrong" if cause in WRONG else "wrong in a log" if cause == "expired" else ""


def _rank(each: "FeatureSkew") -> tuple[int, float]:
    return WORST_FIRST[each.verdict], -1.0 if math.isnan(each.match_rate) else each.match_rate


def _key_text(key: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in key.items()) or "(no key)"


def _short(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
