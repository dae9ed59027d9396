"""Amounts are scaled from one day on: told, a page written, retrained, and over in either way."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from worlds.automation.scene import Scene, said_by
from worlds.repos import VIEWS, write_table
from worlds.runbook import Runbook

from feature_platform.orchestration.sensors.drift_sensor import SERVICE
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.training.entity_rows import EntityRows

DAYS, ROWS = 25, 400
SCALED = -3  # the first day of it
MORNING = timedelta(hours=6)
PAID = (
    VIEWS
    + """
# The story is told at once, however late it is: three days are no delay here.
payments = view(
    "payments", table("payment_rows", "payments"), 60, {"amount": Float64, "items": Int64},
    freshness="9d", drift="warn",
)
fraud = FeatureService(name="fraud", features=[payments])
baskets = FeatureService(name="baskets", features=[payments[["items"]]])
"""
)
ASSETS = ["sources/payment_rows", "feature_views/payments", "drift/payments"]
KEY = "drift/payments#amount"
SCHEDULE = "weather_daily_schedule"


def write_day(scene: Scene, number: int, *, scale: float = 1.0) -> None:
    random = np.random.default_rng(number + 100)
    amount, items = random.lognormal(3, 1, ROWS) * scale, random.poisson(3, ROWS)
    scene.write("payments", number, customer=np.arange(ROWS), amount=amount, items=items)


@pytest.fixture
def scene(make_scene: Callable[..., Scene], tmp_path: Path) -> Scene:
    """Four calm weeks are online; of each service there are labels; a job of ours retrains."""
    called = tmp_path / "retrained"

    @dg.op
    def fit(context: dg.OpExecutionContext) -> None:
        with called.open("a") as file:
            file.write(f"{context.run.tags[SERVICE]}\n")

    @dg.job
    def retrain() -> None:
        fit()

    rows = EntityRows(path="labels.parquet", label="fraudulent")
    found = make_scene(
        {"views.py": PAID},
        DAYS,
        settings=AutomationSettings(retrain=retrain),
        more={"training_sets": {"fraud": rows, "baskets": rows}},
    )
    for number in range(-DAYS, SCALED):
        write_day(found, number)
    labels = {
        "customer": list(range(20)),
        "event_timestamp": [found.day(SCALED + 0.9)] * 20,
        "fraudulent": [0, 1] * 10,
    }
    write_table(found.sample.repo / "labels.parquet", labels)
    found.materialize(-DAYS, SCALED - 1, *ASSETS)
    found.tell()
    assert found.told() == []
    return found


def next_morning(scene: Scene, number: int, *, scale: float) -> None:
    """A day is delivered, and its schedule comes."""
    write_day(scene, number, scale=scale)
    result = scene.scheduled(SCHEDULE, at=scene.day(number + 1) + MORNING)
    assert result.success, said_by(result)
    scene.tell()


def drift_starts(scene: Scene, page: Runbook, tmp_path: Path) -> None:
    """The first day of it, up to the model that is trained again."""
    next_morning(scene, SCALED, scale=1.6)
    assert scene.told() == [("open", KEY)]
    message = scene.page(KEY)
    assert message["severity"] == "error"
    assert "amount has drifted" in message["what"]
    assert message["runbook"] == f"docs/runbooks/{page.page}"
    assert message["command"].startswith("feature-platform drift --repo ")

    # The report is there, and the page's command shows the same.
    reports = Path(scene.instance.storage_directory()) / "reports"
    report = reports.joinpath(
        scene.sample.project.name, "drift/payments", f"{scene.key(SCALED)}.html"
    )
    assert "amount has drifted" in report.read_text()
    html = tmp_path / "out.html"
    shown = page.run(
        "feature-platform drift --view VIEW --date DAY --html FILE",
        VIEW="payments", DAY=scene.key(SCALED), FILE=str(html),
    )  # fmt: skip
    assert shown.code == 1
    assert re.search(r"drift +amount +has drifted", shown.text)
    assert re.search(r"ok +items ", shown.text)
    assert "amount has drifted" in html.read_text()

    # One training set, of the service that uses the feature; then the job that trains.
    for job in ("weather_training_set_fraud", "retrain"):
        requests = scene.sensor("drift").run_requests
        assert [each.job_name for each in requests] == [job]
        assert scene.start(requests) == [True]
    assert not scene.sensor("drift").run_requests
    assert (tmp_path / "retrained").read_text() == "fraud\n"
    sets = scene.sample.repo / "data" / "training_sets"
    assert {path.name for path in sets.iterdir()} == {"fraud"}


@pytest.mark.slow
def test_drift_is_told_retrained_once_and_over_when_the_data_are_as_they_were(
    scene: Scene, tmp_path: Path
):
    drift_starts(scene, Runbook("drift.md"), tmp_path)
    next_morning(scene, SCALED + 1, scale=1.0)
    scene.tell()
    assert scene.told() == [("open", KEY), ("resolve", KEY)]
    assert not scene.sensor("drift").run_requests
    assert (tmp_path / "retrained").read_text() == "fraud\n"


@pytest.mark.slow
def test_drift_that_is_here_to_stay_is_over_when_somebody_accepts_it(scene: Scene, tmp_path: Path):
    page = Runbook("drift.md")
    drift_starts(scene, page, tmp_path)
    # It goes on, which is no news and no other model.
    next_morning(scene, SCALED + 1, scale=1.6)
    assert scene.told() == [("open", KEY)]
    assert not scene.sensor("drift").run_requests

    # Somebody decides that this is how it is now: two commands of the page.
    newest = scene.key(SCALED + 1)
    accept = "feature-platform drift --view VIEW --date DAY --accept"
    accepted = page.run(accept, VIEW="payments", DAY=newest)
    assert accepted.code == 0, accepted.text
    record = "feature-platform drift --view VIEW --date DAY --record"
    recorded = page.run(record, VIEW="payments", DAY=newest)
    assert recorded.code == 0, recorded.text
    for _ in range(2):
        scene.tell()
    assert scene.told() == [("open", KEY), ("resolve", KEY)]

    # And the next day of it is as any other.
    next_morning(scene, SCALED + 2, scale=1.6)
    assert not scene.sensor("drift").run_requests
    assert len(scene.told()) == 2
