"""Drift assets: what a run compares, says, keeps, and keeps from being served."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from markupsafe import escape
from worlds.repos import write_table
from worlds.rides import VIEWS
from worlds.samples import Sample, checks
from worlds.times import MARCH, key, march, window

from feature_platform.cli import main
from feature_platform.core.windows import Window
from feature_platform.drift.acceptance import accept_window
from feature_platform.drift.drift_judge import DriftJudge
from feature_platform.drift.drift_settings import DriftSettings, Trailing, ViewDrift
from feature_platform.orchestration.checks.report_checks import feature_check_names
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.repair_sensors import REPAIR_CAUSES, repair_tick
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.registry.windows_on_record import record_window
from feature_platform.reports.drift_page import window_page

DAYS, ROWS = 24, 400
REPO = (
    VIEWS
    + """
view = riding(
    {"fare": Float64, "trips.today": Int64, "paid_by": String}, "data/trips/*.parquet",
    ttl=timedelta(days=30), drift="DRIFT",
)
"""
)
OP = "weather__feature_views__riding"


def trailing(days: int, consecutive: int = 1) -> str:
    """A ``drift.yaml`` that compares with the days before."""
    kind = f"{{trailing: {{days: {days}, gap: 0, at_least: 7}}}}"
    return f"default: {{reference: {kind}, consecutive: {consecutive}}}"


def day(number: int) -> str:
    return key(march(number))


def write_day(repo: Path, number: int, **changes: Callable[[Any], Any]) -> None:
    """One day of trips, as its owner's job would write it."""
    random = np.random.default_rng([7, number])
    columns: dict[str, Any] = {
        "user_id": np.arange(ROWS),
        "fare": random.lognormal(2, 1, ROWS),
        "trips.today": random.poisson(3, ROWS),
        "paid_by": random.choice(["card", "cash"], ROWS),
        "at": [march(number, 12)] * ROWS,
    }
    for name, change in changes.items():
        columns[name] = change(columns[name])
    write_table(repo / "data" / "trips" / f"{day(number)}.parquet", columns)


@pytest.fixture
def make_riding(make_repo: Callable[..., "Sample"]) -> Callable[..., "Sample"]:
    """Twenty-four days of trips; only the registry is applied."""

    def make(drift: str = "warn", settings: str = trailing(21)) -> "Sample":
        found = make_repo({"views.py": REPO.replace("DRIFT", drift), "drift.yaml": settings})
        for number in range(DAYS):
            write_day(found.repo, number)
        applied = found.run("registry")
        assert applied.success, failures(applied)
        return found

    return make


def put_online(sample: "Sample", first: int, last: int) -> dg.ExecuteInProcessResult:
    """Windows of the view, as the command line does."""
    return sample.run("feature_views/riding", span=(day(first), day(last)))


def run(
    sample: "Sample", first: int, last: int | None = None, settings: DriftSettings | None = None
) -> Any:
    """The drift asset alone, on a window or a range of them."""
    defs = sample.definitions(schedules=False, retry_policy=None, drift=settings)
    job = dg.define_asset_job("picked", dg.AssetSelection.assets(sample.key("drift/riding")))
    tags = {"dagster/partition": day(first)}
    if last is not None:
        tags = {
            "dagster/asset_partition_range_start": day(first),
            "dagster/asset_partition_range_end": day(last),
        }
    merged = dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
    return merged.resolve_job_def("picked").execute_in_process(
        instance=sample.instance, raise_on_error=False, tags=tags
    )


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    return {name: (each.passed, each.severity.value) for name, each in checks(result).items()}


def metadata(evaluation: dg.AssetCheckEvaluation) -> Mapping[str, Any]:
    return {name: each.value for name, each in evaluation.metadata.items()}


def test_drift_is_found_in_the_feature_that_has_it_and_in_no_other(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding()
    write_day(sample.repo, 22, fare=lambda fares: fares * 1.6)
    assert put_online(sample, 0, 23).success
    result = run(sample, 22)
    assert result.success
    assert verdicts(result) == {
        "drift": (False, "ERROR"),
        "fare": (False, "ERROR"),
        "trips_today": (True, "WARN"),
        "paid_by": (True, "WARN"),
    }
    said = checks(result)["drift"].description
    assert said.startswith("1 drift of 3 features. fare has drifted: ")
    found = metadata(checks(result)["fare"])
    assert found["feature_platform/current_rows"] == ROWS
    assert found["feature_platform/observed"] > found["feature_platform/threshold"]
    assert found["feature_platform/current_mean"] > 1.3 * found["feature_platform/reference_mean"]
    assert found["picture"].startswith("![fare](data:image/svg+xml;base64,")
    assert found["feature_platform/verdicts"] == {day(22): {"passed": False, "verdict": "drift"}}
    page = Path(found["feature_platform/report"])
    assert page.name == f"{day(22)}.html"
    assert "fare has drifted" in page.read_text()


def test_every_partition_has_its_own_numbers_after_a_range(make_riding: Callable[..., "Sample"]):
    sample = make_riding()
    write_day(sample.repo, 22, paid_by=lambda kinds: np.where(kinds == "cash", "bond", kinds))
    assert put_online(sample, 0, 23).success
    result = run(sample, 20, 23)
    assert result.success
    assert len(result.get_asset_materialization_events()) == 4
    found = {
        number: sample.materializations("drift/riding", day(number))[0].metadata
        for number in range(20, 24)
    }
    drifted = {n: each["feature_platform/features_drifted"].value for n, each in found.items()}
    assert drifted == {20: 0, 21: 0, 22: 1, 23: 0}
    distances = {n: each["distance/paid_by"].value for n, each in found.items()}
    assert distances[22] > 1 > distances[21]
    assert metadata(checks(result)["paid_by"])["feature_platform/verdicts"] == {
        day(number): {
            "passed": number != 22,
            "verdict": "drift" if number == 22 else "ok",
        }
        for number in range(20, 24)
    }
    # The check is about the window that is worst, and names it.
    assert metadata(checks(result)["paid_by"])["feature_platform/window"].startswith(day(22))
    assert checks(result)["paid_by"].description.startswith(f"{day(22)}..{day(23)}: paid_by has")


def test_a_reference_is_merged_from_stored_profiles_and_no_raw_row_is_read_again(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding()
    assert put_online(sample, 0, 23).success
    assert verdicts(run(sample, 0, 22))
    for number in range(23):
        (sample.repo / "data" / "trips" / f"{day(number)}.parquet").unlink()
    result = run(sample, 23)
    assert {passed for passed, _ in verdicts(result).values()} == {True}
    assert metadata(checks(result)["fare"])["feature_platform/reference_rows"] == 3 * ROWS


def test_too_little_history_is_a_warm_up(make_riding: Callable[..., "Sample"]):
    sample = make_riding()
    assert put_online(sample, 0, 3).success
    result = run(sample, 3)
    assert result.success
    assert {passed for passed, _ in verdicts(result).values()} == {True}
    assert checks(result)["fare"].description == (
        "fare is not judged yet, while its reference warms up: 3 of the 21 windows before it are "
        "online and hold rows, 7 are needed; materialize earlier windows, or set a reference "
        "(feature-platform drift --view riding --set-reference)."
    )


def test_an_empty_window_never_passes(make_riding: Callable[..., "Sample"]):
    sample = make_riding()
    assert put_online(sample, 0, 22).success
    (sample.repo / "data" / "trips" / f"{day(23)}.parquet").unlink()
    result = run(sample, 23)
    assert set(verdicts(result).values()) == {(False, "WARN")}
    assert "the window holds no rows" in checks(result)["fare"].description


def test_a_column_that_is_gone_and_one_of_another_type_are_drift(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding()
    assert put_online(sample, 0, 22).success
    run(sample, 0, 22)
    folder = sample.repo / "data" / "trips"
    table = pq.read_table(folder / f"{day(23)}.parquet")
    place = table.schema.get_field_index("fare")
    texts = table.set_column(place, "fare", table.column("fare").cast(pa.string()))
    for path in folder.iterdir():
        path.unlink()
    pq.write_table(texts.drop_columns(["trips.today"]), folder / f"{day(23)}.parquet")
    result = run(sample, 23)
    assert verdicts(result) == {
        "drift": (False, "ERROR"),
        "fare": (False, "ERROR"),
        "trips_today": (False, "ERROR"),
        "paid_by": (True, "WARN"),
    }
    assert "has changed its type from number to string" in checks(result)["fare"].description
    assert checks(result)["trips_today"].description == (
        "trips.today is gone: source 'trips' has no column 'trips.today'."
    )


def test_drift_is_a_warning_until_it_is_there_for_as_long_as_asked(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding(settings=trailing(14, consecutive=2))
    for number in (21, 22):
        write_day(sample.repo, number, fare=lambda fares: fares * 1.6)
    assert put_online(sample, 0, 23).success
    first = run(sample, 21)
    assert verdicts(first)["fare"] == (False, "WARN")
    assert "windows in a row: 1, an error from 2 on" in checks(first)["fare"].description
    second = run(sample, 22)
    assert verdicts(second)["fare"] == (False, "ERROR")
    assert verdicts(run(sample, 23))["fare"] == (True, "WARN")


def test_the_command_line_says_so_where_the_asset_was_given_other_settings(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding(settings=trailing(14))
    write_day(sample.repo, 22, fare=lambda fares: fares * 1.6)
    assert put_online(sample, 0, 22).success
    arguments = ["drift", "--view", "riding", "--date", day(22), "--repo", str(sample.repo)]
    assert verdicts(run(sample, 22))["fare"] == (False, "ERROR")
    judge = DriftJudge(sample.project, "riding", DriftSettings.load(sample.project))
    kept = judge.results.read(window(march(22)))
    assert kept is not None
    typed = CliRunner().invoke(main, [*arguments, "--json"])
    assert json.loads(typed.stdout) == kept.to_json()
    assert "by other settings" not in typed.stderr
    twice = ViewDrift(reference=Trailing(days=14, gap=0, at_least=7), consecutive=2)
    result = run(sample, 22, settings=DriftSettings(default=twice))
    assert verdicts(result)["fare"] == (False, "WARN")
    typed = CliRunner().invoke(main, arguments)
    assert typed.exit_code == 1
    assert "judged by drift.yaml" in typed.stdout
    assert "by other settings" in typed.stderr


def test_where_drift_blocks_a_window_that_has_drifted_is_not_served(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding("block")
    assert put_online(sample, 0, 21).success
    write_day(sample.repo, 22, fare=lambda fares: fares * 1.6)
    # Nobody selected the drift asset: the view asks for itself.
    result = put_online(sample, 22, 22)
    assert not result.success
    (reason,) = failures(result)
    assert reason.startswith(
        f"feature view 'riding': window {day(22)}..{day(23)} has drifted: fare has drifted: "
    )
    assert reason.endswith("(in the UI: config allow_failed_checks: true)")
    assert sample.windows("riding") == [f"{day(0)}..{day(22)}"]
    # What it found is on record, as if the asset had run.
    (record,) = sample.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(sample.key("drift/riding"), "fare"), limit=1
    )
    assert not record.evaluation.passed
    # A run of everything stops there too, and the asset's verdict is the gate's.
    both = sample.run("drift/riding", "feature_views/riding", partition=day(22))
    assert not both.success
    assert sample.windows("riding") == [f"{day(0)}..{day(22)}"]
    asked = {OP: {"config": {"allow_failed_checks": True}}}
    assert sample.run("feature_views/riding", partition=day(22), config=asked).success
    assert sample.windows("riding") == [f"{day(0)}..{day(23)}"]


def test_a_blocked_window_is_served_once_it_is_corrected(make_riding: Callable[..., "Sample"]):
    sample = make_riding("block")
    assert put_online(sample, 0, 21).success
    write_day(sample.repo, 22, fare=lambda fares: fares * 1.6)
    assert not put_online(sample, 22, 22).success
    write_day(sample.repo, 22)
    assert put_online(sample, 22, 22).success


def test_a_window_that_drifts_after_it_was_served_is_not_served_again(
    make_riding: Callable[..., "Sample"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sample = make_riding("block")
    views = sample.repo / "views.py"
    views.write_text(views.read_text().replace("ttl=timedelta(days=30)", "ttl=timedelta(0)"))
    assert sample.run("registry").success
    assert put_online(sample, 0, 23).success
    write_day(sample.repo, 22, fare=lambda fares: fares * 1.6)
    # A key that leaves the last window falls back on what has not drifted.
    write_day(sample.repo, 23)
    path = sample.repo / "data" / "trips" / f"{day(23)}.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    assert put_online(sample, 23, 23).success
    last = pq.read_table(sample.repo / "data" / "trips" / f"{day(21)}.parquet")
    served = sample.online(["riding:fare"], [{"user_id": 0}])
    assert served["fare"] == [last.column("fare")[0].as_py()]
    # Nor is an online store rebuilt with it.
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    arguments = ["rebuild-online", "--repo", str(sample.repo), "--start-date", day(0)]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 2
    assert f"window {day(22)}..{day(23)} has drifted" in refused.output
    assert CliRunner().invoke(main, [*arguments, "--allow-failed-checks"]).exit_code == 0


def test_a_verdict_counts_only_for_the_reference_it_was_given_for(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding("block", settings="default: {reference: {named: usual}}")
    for number in (21, 22):
        write_day(sample.repo, number, fare=lambda fares: fares * 1.6)
    # Nobody has set the reference: served with a warning, which is no last word.
    assert put_online(sample, 0, 22).success
    freeze(sample, 0, 20)
    result = put_online(sample, 22, 22)
    assert "has drifted: fare has drifted" in failures(result)[0]
    # The change is meant.
    freeze(sample, 21, 22)
    assert put_online(sample, 22, 22).success


def test_a_blocked_change_is_served_once_it_is_accepted_and_so_are_the_days_after_it(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding("block")
    for number in (22, 23):
        write_day(sample.repo, number, fare=lambda fares: fares * 1.6)
    assert put_online(sample, 0, 21).success
    assert not put_online(sample, 22, 22).success
    project = sample.project
    judge = DriftJudge(project, "riding", DriftSettings.load(project))
    blocked = judge.results.read(window(march(22)))
    assert blocked is not None
    accept_window(judge, blocked)
    # The verdict that blocked it counts no more.
    for number in (22, 23):
        result = put_online(sample, number, number)
        assert result.success, failures(result)
    assert sample.windows("riding") == [f"{day(0)}..{day(24)}"]


def test_where_drift_blocks_from_two_windows_in_a_row_the_first_is_served_and_the_second_is_not(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding("block", settings=trailing(18, consecutive=2))
    for number in (21, 22):
        write_day(sample.repo, number, fare=lambda fares: fares * 1.6)
    assert put_online(sample, 0, 20).success
    assert put_online(sample, 21, 21).success
    result = put_online(sample, 22, 22)
    assert not result.success
    assert "windows in a row: 2, an error from 2 on" in failures(result)[0]
    # Tried again, it is the same window still, and no third.
    again = put_online(sample, 22, 22)
    assert "windows in a row: 2, an error from 2 on" in failures(again)[0]
    assert sample.windows("riding") == [f"{day(0)}..{day(22)}"]
    # A calm day ends the row, though the one before it was never served.
    assert put_online(sample, 23, 23).success


def freeze(sample: "Sample", first: int, last: int) -> None:
    """Set the reference 'usual' to windows, as the command line does."""
    span = window(march(first), last + 1 - first)
    project = sample.project
    judge = DriftJudge(project, "riding", DriftSettings.load(project))
    judge.freeze(project.store(), "usual", span)


def test_one_day_that_drifted_among_missing_ones_is_tried_by_itself_and_the_others_are_served(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding("block", settings=trailing(10))
    assert put_online(sample, 0, 16).success
    write_day(sample.repo, 19, fare=lambda fares: fares * 1.6)
    automated = AutomatedProject(sample.graph, DagsterFeastTranslator(), AutomationSettings())
    now, cursor = MARCH + timedelta(days=22.5), None
    outcomes = []
    for minutes in range(0, 60, 10):
        found = repair_tick(
            REPAIR_CAUSES["gap"],
            automated,
            sample.instance,
            cursor,
            now + timedelta(minutes=minutes),
        )
        cursor = found.cursor
        for repair in found.plan.repairs:
            # The step of the view asks for its drift itself.
            done = sample.run("feature_views/riding", span=(repair.first, repair.last))
            outcomes.append((repair.first, repair.last, done.success))
    assert outcomes == [
        (day(17), day(21), False),
        (day(20), day(21), True),
        (day(19), day(19), False),
        (day(17), day(18), True),
        (day(19), day(19), False),
    ]


def test_what_blocks_comes_before_the_view_what_warns_after_it_and_off_is_not_there(
    make_riding: Callable[..., "Sample"],
):
    def upstream(sample: "Sample", name: str) -> set[str]:
        return {"/".join(dep.asset_key.path[1:]) for dep in sample.specs()[name].deps}

    warns, blocks, off = (make_riding(each) for each in ("warn", "block", "off"))
    assert upstream(warns, "drift/riding") == {"feature_views/riding"}
    assert upstream(warns, "feature_views/riding") == {"sources/trips", "registry"}
    assert upstream(blocks, "drift/riding") == {"sources/trips"}
    assert upstream(blocks, "feature_views/riding") == {
        "sources/trips",
        "registry",
        "drift/riding",
    }
    assert "drift/riding" not in off.specs()


def test_features_whose_names_come_to_one_have_checks_of_their_own(
    make_riding: Callable[..., "Sample"],
):
    sample = make_riding()
    views = sample.repo / "views.py"
    views.write_text(
        views.read_text().replace('"fare": Float64', '"trips_today": Float64, "drift": Float64')
    )
    names = feature_check_names(sample.graph.drifts["riding"])
    assert names == {
        "trips_today": "trips_today",
        "drift": "drift_2",
        "trips.today": "trips_today_2",
        "paid_by": "paid_by",
    }


def test_a_training_set_can_be_the_reference(make_riding: Callable[..., "Sample"]):
    said = "views: {riding: {reference: {training_set: {service: s, path: data/learned.parquet}}}}"
    sample = make_riding(settings=said)
    learned = pa.concat_tables(
        pq.read_table(sample.repo / "data" / "trips" / f"{day(number)}.parquet")
        for number in range(5)
    )
    pq.write_table(learned.drop_columns(["paid_by"]), sample.repo / "data" / "learned.parquet")
    result = run(sample, 9)
    assert verdicts(result)["fare"] == (True, "WARN")
    assert verdicts(result)["paid_by"] == (False, "WARN")
    assert checks(result)["paid_by"].description == (
        "paid_by cannot be judged, it has no reference: the training set of 's' has no such column."
    )
    assert metadata(checks(result)["fare"])["feature_platform/reference_rows"] == 5 * ROWS


def failures(result: dg.ExecuteInProcessResult) -> Sequence[str]:
    return [
        event.step_failure_data.user_failure_data.description
        for event in result.all_events
        if event.is_step_failure
    ]


def test_verdicts_are_kept_as_json_with_the_version_of_the_reference(
    make_riding: Callable[..., "Sample"],
):
    import gzip

    sample = make_riding()
    assert put_online(sample, 0, 9).success
    run(sample, 8, 9)
    folder = sample.repo / "data" / "drift" / sample.project.name / "default"
    stored = folder / "results" / "riding" / f"{day(9)}--{day(10)}.json.gz"
    found = json.loads(gzip.decompress(stored.read_bytes()))
    assert found["verdict"] == "ok"
    assert len(found["reference_version"]) == 12
    assert {each["feature"] for each in found["features"]} == {"fare", "trips.today", "paid_by"}


ODD = ("fare in EUR", "trips.today", "größe", 'the "best" one', "it's", "a/b", "seen_at", "tags")
ODD_REPO = """\
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp

user = Entity(name="user", join_keys=["user id"], value_type=ValueType.INT64)
shop = Entity(name="shop", join_keys=["shop.code"], value_type=ValueType.STRING)
visits = FileSource(name="visits", path="data/visits.parquet", timestamp_field="at")
TYPES = [Float64, Int64, String, Bool, Float64, String, UnixTimestamp, Array(Float64)]
visiting = FeatureView(
    name="visiting",
    entities=[user, shop],
    schema=[Field(name=name, dtype=dtype) for name, dtype in zip(NAMES, TYPES)],
    source=visits,
    tags={"dagster/partitions": "hourly"},
)
"""


@pytest.mark.parametrize(
    ("changed", "spoil"),
    [
        ("fare in EUR", lambda fares: fares * 2),
        ("größe", lambda sizes: np.where(sizes == "M", "XL", sizes)),
        ('the "best" one', lambda best: ~best),
        ("a/b", lambda ways: [None, *ways[1:40], *[None] * (ROWS - 40)]),
        ("seen_at", lambda seen: [each - timedelta(hours=5) for each in seen]),
        ("tags", lambda tags: [[each + 2 for each in tag] for tag in tags]),
        ("tags", lambda tags: [[*tag, *tag] for tag in tags]),
    ],
    ids=["number", "category", "boolean", "nulls", "timestamp", "elements", "length"],
)
def test_hours_keys_of_two_parts_odd_names_and_every_type_are_compared(
    changed: str, spoil: Callable[[Any], Any], make_repo: Callable[..., "Sample"]
):
    sample = make_repo({"views.py": ODD_REPO.replace("NAMES", repr(list(ODD)))})
    hours, parts = 24 * 10, []
    for number in [n for n in range(hours) if n % 24 == 5]:
        random, start = np.random.default_rng([8, number]), MARCH + timedelta(hours=number)
        at = start + timedelta(minutes=30)
        columns: dict[str, Any] = {
            "fare in EUR": random.lognormal(2, 1, ROWS),
            "trips.today": random.poisson(3, ROWS),
            "größe": random.choice(["S", "M", "L"], ROWS),
            'the "best" one': random.random(ROWS) < 0.2,
            "it's": random.normal(size=ROWS),
            "a/b": list(random.choice(["left", "right"], ROWS)),
            "seen_at": [at - timedelta(minutes=float(m)) for m in random.exponential(20, ROWS)],
            "tags": [list(random.normal(size=n)) for n in random.integers(1, 4, ROWS)],
        }
        if number == 24 * 9 + 5:
            columns[changed] = spoil(columns[changed])
        columns |= {"user id": np.arange(ROWS), "shop.code": ["s"] * ROWS, "at": [at] * ROWS}
        parts.append(pa.table(columns))
    (sample.repo / "data").mkdir(exist_ok=True)
    pq.write_table(pa.concat_tables(parts), sample.repo / "data" / "visits.parquet")
    project = sample.project
    assert sample.run("registry").success
    store = project.store()
    record_window(store, "visiting", Window(MARCH, MARCH + timedelta(hours=hours)))
    settings = DriftSettings(default=ViewDrift(reference=Trailing(days=8, gap=0, at_least=5)))
    judge = DriftJudge(project, "visiting", settings)
    hour = Window(MARCH + timedelta(days=9, hours=5), MARCH + timedelta(days=9, hours=6))
    (found,) = judge.judge(store, [hour])
    said = {each.feature: each.verdict for each in found.comparisons}
    assert said == {name: "drift" if name == changed else "ok" for name in ODD}
    # What is kept is what was found, and the page names every feature.
    kept = judge.results.read(hour)
    assert kept is not None
    assert kept.to_json() == found.to_json()
    page = window_page(judge, found, judge.history(hour))
    assert all(str(escape(name)).replace("_", "_<wbr>") in page for name in ODD)
    assert "--date 2026-03-10T05:00 --accept" in page
    names = feature_check_names(sample.graph.drifts["visiting"])
    assert len(set(names.values())) == len(ODD)
