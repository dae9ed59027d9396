"""Results of the skew checks: each feature is served as its models are trained on it."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.orchestration.checks.metadata_tables import metadata_table
from feature_platform.orchestration.checks.report_checks import (
    REPORT,
    feature_check_names,
    finite,
    severity,
)
from feature_platform.orchestration.graph.translator_data import SkewData
from feature_platform.orchestration.validation.check_declarations import SKEW

if TYPE_CHECKING:
    from feature_platform.skew.service_skew import FeatureSkew, ServiceSkew


def skew_check_results(
    found: "ServiceSkew", data: SkewData, key: dg.AssetKey, page: Path
) -> Iterator[dg.AssetCheckResult]:
    """One result per check; a feature that was not compared fails."""
    from feature_platform.skew.skew_verdict import worst_of

    by_name: dict[str, list[FeatureSkew]] = {}
    for each in found.features:
        by_name.setdefault(each.name, []).append(each)
    yield _summary(found, key, page)
    for feature, name in feature_check_names(data).items():
        judged = by_name.get(feature, [])
        worst = worst_of(judged) if judged else None
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=bool(judged) and all(each.verdict == "ok" for each in judged),
            severity=severity([worst.verdict] if worst else []),
            description=" ".join(each.sentence for each in judged)
            or f"{feature} is not served: the registry's service lacks it; apply the repo.",
            metadata=_metadata(judged, page),
        )


def _summary(found: "ServiceSkew", key: dg.AssetKey, page: Path) -> dg.AssetCheckResult:
    from feature_platform.skew.skew_verdict import worst_of

    wrong = [each for each in found.features if each.verdict != "ok"]
    worst = worst_of(wrong) if wrong else None
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=SKEW.name,
        passed=not wrong,
        severity=severity([worst.verdict] if worst else []),
        description="; ".join([found.summary, *found.notes]) + ".",
        metadata=service_numbers(found) | {REPORT: dg.MetadataValue.path(page)},
    )


def service_numbers(found: "ServiceSkew") -> dict[str, Any]:
    """Numbers of one report: the worst of each, and how much was compared; the UI draws them."""
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
    return numbers | finite(
        {
            "feature_platform/worst_match_rate": min(rates, default=math.nan),
            "feature_platform/worst_psi": _greatest(psi),
            "feature_platform/worst_ks": _greatest(ks),
        }
    )


def _metadata(judged: "Sequence[FeatureSkew]", page: Path) -> dict[str, Any]:
    metadata: dict[str, Any] = {REPORT: dg.MetadataValue.path(page)}
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
        **finite(
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
        metadata[f"{prefix}examples"] = metadata_table(
            ("key", "served", "training", "cause"),
            [
                {
                    "key": str(dict(example.key)),
                    "served": repr(example.served),
                    "training": repr(example.training),
                    "cause": example.cause,
                }
                for example in parity.examples
            ],
        )
    return metadata


def _greatest(values: Sequence[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)
