"""Skew assets: a feature service as it is served now, against what its training sets hold.

Not partitioned: an online store holds the present alone, so a past day cannot be looked at again.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.orchestration.checks.skew_checks import (
    service_numbers,
    skew_check_results,
    skew_check_specs,
)
from feature_platform.orchestration.graph.cadence import promise
from feature_platform.orchestration.graph.retries import RETRIES, one_line_failures
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.graph.translator_data import FeatureViewData, SkewData

if TYPE_CHECKING:
    from feature_platform.skew.service_skew import ServiceSkew


class SkewConfig(dg.Config):
    """What a run of a skew asset may be told.

    Attributes:
        limit: Requests at most, and as many logged vectors.
        seed: Chooses keys; None takes the run's id, so that runs cover different keys and a
            failing one can be repeated.
        request_data: Values for what on-demand views take from the request, by name.
    """

    limit: int = 1000
    seed: int | None = None
    request_data: dict[str, list[Any]] = {}  # noqa: RUF012 - a pydantic model copies it


def build_skew_asset(
    data: SkewData,
    translator: DagsterFeastTranslator,
    retry_policy: dg.RetryPolicy | None = RETRIES,
) -> dg.AssetsDefinition:
    """The asset of one feature service's skew, with its checks.

    Args:
        data: The service, as `FeastGraph.skews` has it.
        translator: Gives the spec.
        retry_policy: When a failed step is tried again.
    """
    spec = translator.spec_of(data)
    lags = allowed_lags(data)

    @dg.multi_asset(
        specs=[spec],
        name=op_name(spec.key),
        check_specs=skew_check_specs(data, spec.key),
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
    """How old a row of each view may be and not be online, by the service's names for them."""
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
    """The report of one run, beside whatever else Dagster keeps of it."""
    from feature_platform.reports.skew_page import skew_page

    folder = storage.joinpath("reports", *key.path)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{found.moment:%Y-%m-%dT%H%M%S}.html"
    page.write_text(skew_page(found), encoding="utf-8")
    return page


def _metadata(found: "ServiceSkew", page: Path) -> dict[str, Any]:
    return {
        **service_numbers(found),
        "feature_platform/report": dg.MetadataValue.path(page),
        # Text, since the UI draws a curve of every number.
        "feature_platform/seed": str(found.seed),
        "feature_platform/moment": found.moment.isoformat(timespec="seconds"),
        "features": _table(found),
    }


def _table(found: "ServiceSkew") -> dg.TableMetadataValue:
    columns = ("feature", "verdict", "served as trained", "compared", "why")
    return dg.TableMetadataValue(
        records=[
            dg.TableRecord(
                {
                    "feature": each.name if each.origin == "online" else f"{each.name} (logged)",
                    "verdict": each.verdict,
                    "served as trained": f"{each.match_rate:.2%}" if each.parity else "",
                    "compared": str(each.parity.compared if each.parity else 0),
                    "why": each.sentence,
                }
            )
            for each in found.features
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in columns]),
    )
