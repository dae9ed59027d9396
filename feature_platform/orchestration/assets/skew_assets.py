"""Skew assets: what a feature service serves now, against what its training sets hold.

Not partitioned: an online store holds only current values, so a past day cannot be compared.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.orchestration.checks.metadata_tables import metadata_table
from feature_platform.orchestration.checks.report_checks import REPORT, report_check_specs
from feature_platform.orchestration.checks.skew_checks import service_numbers, skew_check_results
from feature_platform.orchestration.graph.cadence import promise
from feature_platform.orchestration.graph.retries import RETRIES, one_line_failures
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.graph.translator_data import FeatureViewData, SkewData

if TYPE_CHECKING:
    from feature_platform.skew.service_skew import ServiceSkew


class SkewConfig(dg.Config):
    """Configuration of a run of a skew asset.

    Attributes:
        limit: Maximum number of requests, and of logged vectors.
        seed: Of the sample of keys; None takes the run's id, so that runs cover different keys and
            a failing run can be repeated.
        request_data: Values of the request sources of on-demand views, by name.
    """

    limit: int = 1000
    seed: int | None = None
    request_data: dict[str, list[Any]] = {}  # noqa: RUF012 - a pydantic model copies it


def build_skew_asset(
    data: SkewData,
    translator: DagsterFeastTranslator,
    retry_policy: dg.RetryPolicy | None = RETRIES,
) -> dg.AssetsDefinition:
    """The asset of one feature service's skew, with its checks."""
    spec = translator.spec_of(data)
    lags = allowed_lags(data)

    @dg.multi_asset(
        specs=[spec],
        name=op_name(spec.key),
        check_specs=report_check_specs(data, spec.key),
        # It has no partitions, but Dagster's --partition-range asks it of every selected asset.
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=retry_policy,
    )
    def skew_asset(
        context: dg.AssetExecutionContext, config: SkewConfig
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from feature_platform.skew.service_skew import service_skew

        seed = int(context.run.run_id[:8], 16) if config.seed is None else config.seed
        with one_line_failures():
            found = service_skew(
                data.project.store(),
                data.name,
                limit=config.limit,
                seed=seed,
                request_data=config.request_data,
                allowed_lag=lags,
            )
        page = _write_page(Path(context.instance.storage_directory()), spec.key, found)
        yield dg.MaterializeResult(asset_key=spec.key, metadata=_metadata(found, page))
        yield from skew_check_results(found, data, spec.key, page)

    return skew_asset


def allowed_lags(data: SkewData) -> Mapping[str, timedelta]:
    """How late each view's rows may be online, by the name the service has for the view."""
    views = {each.name: each for each in data.upstream}
    for name, ((parent, feature),) in data.lineage.items():
        alias = name.removesuffix(f"__{feature}")
        if parent.name in views:
            views[alias] = parent
    return {
        alias: promise(view.settings)
        for alias, view in views.items()
        if isinstance(view, FeatureViewData)
    }


def _write_page(storage: Path, key: dg.AssetKey, found: "ServiceSkew") -> Path:
    """Write the report of one run into Dagster's storage folder."""
    from feature_platform.reports.skew_page import skew_page

    folder = storage.joinpath("reports", *key.path)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{found.moment:%Y-%m-%dT%H%M%S}.html"
    page.write_text(skew_page(found), encoding="utf-8")
    return page


def _metadata(found: "ServiceSkew", page: Path) -> dict[str, Any]:
    return {
        **service_numbers(found),
        REPORT: dg.MetadataValue.path(page),
        # Text: the UI draws every number over the runs.
        "feature_platform/seed": str(found.seed),
        "feature_platform/moment": found.moment.isoformat(timespec="seconds"),
        "features": _table(found),
    }


def _table(found: "ServiceSkew") -> dg.TableMetadataValue:
    return metadata_table(
        ("feature", "verdict", "served as trained", "compared", "why"),
        [
            {
                "feature": each.label,
                "verdict": each.verdict,
                "served as trained": f"{each.match_rate:.2%}" if each.parity else "",
                "compared": str(each.parity.compared if each.parity else 0),
                "why": each.sentence,
            }
            for each in found.features
        ],
    )
