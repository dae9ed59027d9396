"""Sustained drift makes one training set of each service concerned, and then one retraining."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from worlds.automation.shop import VIEWS, Shop, day

from feature_platform.orchestration.graph.recorded_verdicts import VERDICTS
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.sensors.drift_sensor import STEP, drift_tick
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.training.entity_rows import EntityRows

REPO = (
    VIEWS.replace('{"dagster/drift": "off"}', "{}")
    + 'a = view("a", orders, 10)\nb = view("b", table("b"), 10)\n'
    + 'uses_a = FeatureService(name="uses_a", features=[a])\n'
    + 'uses_b = FeatureService(name="uses_b", features=[b])\n'
)
NOW = day(12.5)


@dg.job
def retrain() -> None:
    """A job of the user's."""


class Watcher:
    def __init__(self, shop: Shop) -> None:
        rows = EntityRows(path="labels.parquet")
        sets = {"uses_a": rows, "uses_b": rows}
        settings = AutomationSettings(retrain=retrain)
        graph = shop.sample.graph
        self.project = AutomatedProject(graph, DagsterFeastTranslator(), settings, sets)
        self.shop, self.instance = shop, shop.instance
        self.cursor: str | None = None

    def judged(self, partition: str, verdict: str, view: str = "a") -> None:
        self.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=self.shop.sample.key(f"drift/{view}"),
                check_name="orders",
                passed=verdict == "ok",
                metadata={VERDICTS: dg.JsonMetadataValue({partition: {"verdict": verdict}})},
            )
        )

    def look(self, minutes: int = 0) -> list[dg.RunRequest]:
        now = NOW + timedelta(minutes=minutes)
        found = drift_tick(self.project, self.instance, self.cursor, now)
        self.cursor = found.cursor
        return list(found.requests)

    def ran(self, requests: Sequence[dg.RunRequest], *, well: bool = True) -> None:
        for each in requests:
            status = dg.DagsterRunStatus.SUCCESS if well else dg.DagsterRunStatus.FAILURE
            self.instance.add_run(
                dg.DagsterRun(job_name=str(each.job_name), status=status, tags=dict(each.tags))
            )


def jobs(requests: Sequence[dg.RunRequest]) -> list[Any]:
    return [each.job_name for each in requests]


def test_drift_makes_a_training_set_of_the_services_concerned_and_then_retrains_once(
    make_shop: Callable[..., Shop],
):
    watcher = Watcher(make_shop(REPO, 0))
    assert watcher.look() == []
    watcher.judged("2026-03-11", "warn")
    assert watcher.look() == []  # not in enough windows yet
    watcher.judged("2026-03-12", "drift")
    first = watcher.look()
    assert jobs(first) == ["weather_training_set_uses_a"]
    watcher.ran(first)
    second = watcher.look()
    assert jobs(second) == ["retrain"]
    assert second[0].tags["feature_platform/service"] == "uses_a"
    watcher.ran(second)
    # The same drift goes on, and what is said of an old window is no news.
    watcher.look()
    watcher.judged("2026-03-13", "drift")
    watcher.judged("2026-02-01", "ok")
    assert watcher.look() == []
    # It ends, and comes back.
    watcher.judged("2026-03-14", "ok")
    assert watcher.look() == []
    watcher.judged("2026-03-20", "drift")
    assert jobs(watcher.look()) == ["weather_training_set_uses_a"]


def test_a_training_set_that_fails_is_tried_three_times_and_nothing_is_retrained(
    make_shop: Callable[..., Shop],
):
    watcher = Watcher(make_shop(REPO, 0))
    watcher.judged("2026-03-12", "drift")
    asked = []
    for minutes in range(0, 200, 10):
        found = watcher.look(minutes)
        watcher.ran(found, well=False)
        asked += [each.tags[STEP] for each in found]
    assert asked == ["training_set"] * 3
    key = watcher.shop.sample.key("training_sets/uses_a")
    assert len(watcher.instance.fetch_observations(key, limit=10).records) == 1


def test_the_sensor_is_there_where_there_are_training_sets(make_shop: Callable[..., Shop]):
    shop = make_shop(REPO, 0)
    defs = shop.sample.definitions(
        automation=AutomationSettings(retrain=retrain),
        training_sets={"uses_a": EntityRows(path="labels.parquet")},
    )
    repository = defs.get_repository_def()
    assert repository.has_sensor_def("weather_drift")
    assert repository.has_job("weather_training_set_uses_a")
    assert repository.has_job("retrain")


def test_a_service_that_cannot_be_looked_at_keeps_no_other_from_its_training_set(
    make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
):
    from feature_platform.orchestration.sensors import drift_sensor

    before = drift_sensor._features

    def fails(service: Any) -> set[str]:
        if service.name == "uses_a":
            raise OSError("postgresql://me:pa55word@somewhere")
        return before(service)

    monkeypatch.setattr(drift_sensor, "_features", fails)
    watcher = Watcher(make_shop(REPO, 0))
    for view in ("a", "b"):
        watcher.judged("2026-03-12", "drift", view)
    found = drift_tick(watcher.project, watcher.instance, None, NOW)
    assert jobs(found.requests) == ["weather_training_set_uses_b"]
    assert str(found).endswith("not looked at: 'uses_a' (OSError)")
