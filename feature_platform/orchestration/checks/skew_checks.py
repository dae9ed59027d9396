"""Checks of feature services: each feature is served as its models are trained on it."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.orchestration.graph.translator_data import SkewData

if TYPE_CHECKING:
    from feature_platform.skew.service_skew import FeatureSkew, ServiceSkew

SUMMARY = "skew"
_REPORT = "feature_platform/report"
_PASSING = ("ok",)
_SEVERE = ("drift",)


def skew_check_names(data: SkewData) -> dict[str, str]:
    """Full name of each feature to the name of its check; no two are the same."""
    names: dict[str, str] = {}
    for feature in data.lineage:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", feature)
        taken = set(names.values()) | {SUMMARY}
        number = 2
        name = plain
        while name in taken:
            name, number = f"{plain}_{number}", number + 1
        names[feature] = name
    return names


def skew_check_specs(data: SkewData, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """One check a feature, and one that sums them up."""
    return [
        dg.AssetCheckSpec(
            name=SUMMARY,
            asset=key,
            description="Every feature is served as training sets hold it.",
        ),
        *(
            dg.AssetCheckSpec(
                name=name, asset=key, description=f"{feature} is served as training sets hold it."
            )
            for feature, name in skew_check_names(data).items()
        ),
    ]


def skew_check_results(
    found: "ServiceSkew", data: SkewData, key: dg.AssetKey, page: Path
) -> Iterator[dg.AssetCheckResult]:
    """The verdicts of one comparison; a feature that is not among them fails too.

    Args:
        found: The comparison.
        data: The service.
        key: Its skew asset.
        page: Where the report is.
    """
    by_name: dict[str, list[FeatureSkew]] = {}
    for each in found.features:
        by_name.setdefault(each.name, []).append(each)
    yield _summary(found, key, page)
    for feature, name in skew_check_names(data).items():
        judged = by_name.get(feature, [])
        worst = _worst(judged)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=bool(judged) and all(each.verdict in _PASSING for each in judged),
            severity=severity(worst.verdict if worst else "insufficient"),
            description=" ".join(each.sentence for each in judged)
            or f"{feature} is not served: the registry's service lacks it; apply the repo.",
            metadata=_metadata(judged, page),
        )


def severity(verdict: str) -> dg.AssetCheckSeverity:
    """Skew is an error; what may be skew, or cannot be judged, a warning."""
    kinds = dg.AssetCheckSeverity
    return kinds.ERROR if verdict in _SEVERE else kinds.WARN


def _summary(found: "ServiceSkew", key: dg.AssetKey, page: Path) -> dg.AssetCheckResult:
    wrong = [each for each in found.features if each.verdict not in _PASSING]
    worst = _worst(wrong)
    sizes = f"{found.requests:,} requests"
    if found.vectors is not None:
        sizes += f", {found.vectors[1]:,} logged vectors"
    if wrong:
        counts = {
            verdict: sum(each.verdict == verdict for each in wrong)
            for verdict in ("drift", "warn", "insufficient")
        }
        words = {"drift": "skewed", "warn": "with a warning", "insufficient": "not comparable"}
        told = ", ".join(f"{count} {words[name]}" for name, count in counts.items() if count)
        said = f"{len(wrong)} of {len(found.features)} features are not well ({told}; {sizes}): "
        said += worst.sentence if worst else ""
    else:
        said = f"all {len(found.features)} features are served as trained ({sizes})"
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=SUMMARY,
        passed=not wrong,
        severity=severity(worst.verdict if worst else "ok"),
        description="; ".join([said.removesuffix("."), *found.notes]) + ".",
        metadata=service_numbers(found) | {_REPORT: dg.MetadataValue.path(page)},
    )


def service_numbers(found: "ServiceSkew") -> dict[str, Any]:
    """What the UI draws as curves: the worst of every number, and how much was compared."""
    rates = [each.match_rate for each in found.features if not math.isnan(each.match_rate)]
    psi = [each.statistic("psi") for each in found.features]
    ks = [each.statistic("ks") for each in found.features]
    numbers: dict[str, Any] = {
        "feature_platform/requests": found.requests,
        "feature_platform/features": len(found.features),
        "feature_platform/features_skewed": sum(e.verdict == "drift" for e in found.features),
    }
    if found.vectors is not None:
        numbers["feature_platform/logged_vectors"] = found.vectors[1]
    return numbers | _finite(
        {
            "feature_platform/worst_match_rate": min(rates, default=math.nan),
            "feature_platform/worst_psi": _greatest(psi),
            "feature_platform/worst_ks": _greatest(ks),
        }
    )


def _metadata(judged: "Sequence[FeatureSkew]", page: Path) -> dict[str, Any]:
    metadata: dict[str, Any] = {_REPORT: dg.MetadataValue.path(page)}
    for each in judged:
        metadata |= _of_feature(each, "" if each.origin == "online" else "logged_")
    return metadata


def _of_feature(each: "FeatureSkew", prefix: str) -> dict[str, Any]:
    from feature_platform.reports.pictures import overlay_data_uri

    if each.parity is None:
        return {}
    parity = each.parity
    metadata: dict[str, Any] = {
        f"feature_platform/{prefix}values_compared": parity.compared,
        **_finite(
            {
                f"feature_platform/{prefix}match_rate": each.match_rate,
                f"feature_platform/{prefix}null_mismatch": parity.share("null"),
                f"feature_platform/{prefix}default_mismatch": parity.share("default"),
                f"feature_platform/{prefix}value_mismatch": parity.share("value", "type"),
                f"feature_platform/{prefix}stale": parity.share("stale", "late"),
                f"feature_platform/{prefix}expired": parity.share("expired"),
                f"feature_platform/{prefix}staleness_seconds_max": max(parity.lags, default=0.0),
                f"feature_platform/{prefix}psi": each.statistic("psi"),
                f"feature_platform/{prefix}ks": each.statistic("ks"),
            }
        ),
    }
    if each.comparison is not None and each.comparison.bins:
        drawn = overlay_data_uri(each.comparison)
        metadata[f"{prefix}picture"] = dg.MetadataValue.md(f"![{each.sentence}]({drawn})")
    if parity.examples:
        metadata[f"{prefix}examples"] = _table(each)
    return metadata


def _table(each: "FeatureSkew") -> dg.TableMetadataValue:
    columns = ("key", "served", "training", "cause")
    examples = each.parity.examples if each.parity else ()
    return dg.TableMetadataValue(
        records=[
            dg.TableRecord(
                {
                    "key": str(dict(example.key)),
                    "served": repr(example.served),
                    "training": repr(example.training),
                    "cause": example.cause,
                }
            )
            for example in examples
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in columns]),
    )


_ORDER = ("drift", "warn", "insufficient", "ok")


def _worst(judged: "Sequence[FeatureSkew]") -> "FeatureSkew | None":
    return min(
        judged,
        key=lambda each: (
            _ORDER.index(each.verdict),
            1.0 if math.isnan(each.match_rate) else each.match_rate,
        ),
        default=None,
    )


def _finite(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def _greatest(values: Sequence[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)
