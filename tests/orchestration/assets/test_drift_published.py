"""Windows whose drift was judged are among the metrics that Feast itself shows."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worlds.samples import Sample

DRIFT = ("registry", "sources/voorraad", "feature_views/stock", "drift/stock")


def test_a_judged_window_is_among_feasts_metrics_where_the_repo_has_it_monitored(
    make_sample: Callable[..., "Sample"],
):
    from feast.monitoring.monitoring_service import MonitoringService

    sample = make_sample("field_mappings")
    with (sample.repo / "feature_store.yaml").open("a") as config:
        config.write("\ndata_quality_monitoring:\n  auto_baseline: false\n")
    assert sample.run(*DRIFT, partition="2026-03-02").success
    store = sample.project.store()
    found = MonitoringService(store).get_feature_metrics(
        store.project, feature_view_name="stock", granularity="daily"
    )
    kept = {each["feature_name"]: (each["row_count"], each["mean"]) for each in found}
    assert kept == {"on_hand": (4, 101.5), "shelf": (4, None), "reserved": (4, 1.5)}
    assert {each["metric_date"] for each in found} == {"2026-03-02"}


def test_what_feast_cannot_keep_is_told_here_all_the_same(make_sample: Callable[..., "Sample"]):
    sample = make_sample("field_mappings")
    with (sample.repo / "feature_store.yaml").open("a") as config:
        config.write("\ndata_quality_monitoring:\n  auto_baseline: false\n")
    (sample.repo / "feast_monitoring").write_text("a file where Feast wants a folder")
    run = sample.run(*DRIFT, partition="2026-03-02")
    assert not run.success
    told = {each.check_name for each in run.get_asset_check_evaluations()}
    assert {"drift", "on_hand", "shelf", "reserved"} <= told
    (kept,) = sample.materializations("drift/stock", "2026-03-02")
    assert "features" in kept.metadata
