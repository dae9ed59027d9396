"""What failed its checks is not served, whatever was selected."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from worlds.repos import change_rows, change_table

from feature_platform.core.windows import Window
from feature_platform.errors import GateError, RepoError
from feature_platform.orchestration.checks.gate_runs import GateRun
from feature_platform.orchestration.checks.source_checks import CheckRunner, SourceChecks
from feature_platform.orchestration.checks.source_gate import SourceGate
from feature_platform.sources.opened_window import open_window

if TYPE_CHECKING:
    from pathlib import Path

    from worlds.samples import Sample

VIEW, SOURCE = "feature_views/stock", "sources/voorraad"
OP = "warehouse_stock__feature_views__stock"


def rewrite(repo: "Path", change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the rows of the table, as its owner would."""
    change_rows(repo / "data/voorraad.parquet", change)


def lose_a_key(rows: list[dict[str, Any]]) -> None:
    """On the second day, a row without its key."""
    next(row for row in rows if row["tijdstip"].day == 2 and row["aantal"] == 101)["artikel"] = None


@pytest.fixture
def sample(make_sample: Callable[..., "Sample"]) -> "Sample":
    """Three days of stock of four articles, the second of them spoilt; nothing is online yet."""
    found = make_sample("field_mappings")
    assert found.run("registry").success
    rewrite(found.repo, lose_a_key)
    return found


def reasons(result: dg.ExecuteInProcessResult) -> list[str]:
    return [
        event.step_failure_data.user_failure_data.description
        for event in result.all_events
        if event.is_step_failure
    ]


def on_hand(sample: "Sample") -> list[int | None]:
    rows = [{"sku": f"sku-{number}"} for number in range(4)]
    return sample.online(["stock:on_hand"], rows)["on_hand"]


def test_a_view_alone_is_not_put_online_from_a_bad_window(sample: "Sample"):
    result = sample.run(VIEW, partition="2026-03-02")
    assert not result.success
    [reason] = reasons(result)
    assert reason.startswith("feature view 'stock': window 2026-03-02..2026-03-03 failed check ")
    assert "'keys'" in reason
    assert "artikel" in reason
    assert reason.endswith(
        "; fix source 'voorraad' and rerun, or materialize with --allow-failed-checks "
        "(in the UI: config allow_failed_checks: true)"
    )
    assert on_hand(sample) == [None] * 4
    assert sample.windows("stock") == []


def test_neither_is_it_with_its_source_but_without_the_checks(sample: "Sample"):
    result = sample.run(SOURCE, VIEW, partition="2026-03-02", checks=False)
    assert not result.success
    assert "failed check 'keys'" in reasons(result)[0]
    assert on_hand(sample) == [None] * 4


def test_with_the_checks_selected_the_view_is_not_even_started(sample: "Sample"):
    result = sample.run(SOURCE, VIEW, partition="2026-03-02")
    assert not result.success
    started = {event.step_key for event in result.all_events if event.is_step_start}
    assert OP not in started
    assert not sample.materializations(VIEW, "2026-03-02")
    assert on_hand(sample) == [None] * 4


def test_one_bad_window_keeps_the_whole_range_offline(sample: "Sample"):
    result = sample.run(VIEW, span=("2026-03-01", "2026-03-03"))
    assert not result.success
    assert "window 2026-03-02..2026-03-03 failed" in reasons(result)[0]
    assert on_hand(sample) == [None] * 4
    assert sample.windows("stock") == []
    assert [sample.materializations(VIEW, f"2026-03-0{day}") for day in (1, 2, 3)] == [[]] * 3


def test_the_good_windows_around_it_are_served(sample: "Sample"):
    assert sample.run(SOURCE, VIEW, partition="2026-03-01").success
    assert sample.run(VIEW, partition="2026-03-03").success
    assert on_hand(sample) == [200, 201, 202, 203]
    assert sample.windows("stock") == ["2026-03-01..2026-03-02", "2026-03-03..2026-03-04"]


def test_a_table_that_changed_after_its_check_is_checked_again(sample: "Sample"):
    assert sample.run(SOURCE, partition="2026-03-01").success

    def lose_all(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["artikel"] = None if row["tijdstip"].day == 1 else row["artikel"]

    rewrite(sample.repo, lose_all)
    result = sample.run(VIEW, partition="2026-03-01")
    assert not result.success
    assert "window 2026-03-01..2026-03-02 failed check 'keys'" in reasons(result)[0]
    assert on_hand(sample) == [None] * 4


def test_deselecting_the_checks_of_the_source_does_not_open_the_gate(sample: "Sample"):
    assets = dg.AssetSelection.assets(sample.key(SOURCE), sample.key(VIEW))
    selection = assets - dg.AssetSelection.checks_for_assets(sample.key(SOURCE))
    result = sample.run(selection=selection, partition="2026-03-02")
    assert not result.success
    assert "failed check 'keys'" in reasons(result)[0]
    assert on_hand(sample) == [None] * 4


def test_the_checks_of_a_source_cannot_be_picked_apart(sample: "Sample"):
    assets = dg.AssetSelection.assets(sample.key(SOURCE), sample.key(VIEW))
    one = dg.AssetSelection.checks(dg.AssetCheckKey(sample.key(SOURCE), "keys"))
    with pytest.raises(dg.DagsterInvalidDefinitionError):
        sample.run(selection=assets - one, partition="2026-03-02")


def test_who_asks_for_it_is_served_the_bad_window_and_warned(
    sample: "Sample", capture_warnings: list[str]
):
    result = sample.run(
        VIEW, partition="2026-03-02", config={OP: {"config": {"allow_failed_checks": True}}}
    )
    assert result.success
    # The row without a key cannot be served at all.
    assert on_hand(sample) == [100, None, 102, 103]
    warnings = [
        each for each in capture_warnings if "served, since failed checks are allowed" in each
    ]
    assert warnings
    assert all("window 2026-03-02..2026-03-03 failed check 'keys'" in each for each in warnings)


def test_a_failed_run_changes_neither_what_is_online_nor_the_registry(sample: "Sample"):
    assert sample.run(VIEW, partition="2026-03-01").success
    online, windows = on_hand(sample), sample.windows("stock")
    assert not sample.run(VIEW, partition="2026-03-02").success
    assert on_hand(sample) == online == [0, 1, 2, 3]
    assert sample.windows("stock") == windows == ["2026-03-01..2026-03-02"]


def test_a_repaired_source_passes(sample: "Sample"):
    assert not sample.run(VIEW, partition="2026-03-02").success

    def find_it_again(rows: list[dict[str, Any]]) -> None:
        next(row for row in rows if row["artikel"] is None)["artikel"] = "sku-1"

    rewrite(sample.repo, find_it_again)
    assert sample.run(VIEW, partition="2026-03-02").success
    assert on_hand(sample) == [100, 101, 102, 103]


def test_the_verdict_on_record_is_taken_for_the_same_content(
    sample: "Sample", monkeypatch: pytest.MonkeyPatch
):
    assert sample.run(SOURCE, partition="2026-03-01").success
    assert sample.run(VIEW, partition="2026-03-03").success
    # The first day was checked by its checks, the third by the gate: neither is again.
    monkeypatch.setattr(CheckRunner, "check", never)
    assert sample.run(VIEW, partition="2026-03-01").success
    assert sample.run(VIEW, partition="2026-03-03").success
    assert on_hand(sample) == [200, 201, 202, 203]


def test_so_is_a_verdict_against_it(sample: "Sample", monkeypatch: pytest.MonkeyPatch):
    assert not sample.run(VIEW, partition="2026-03-02").success
    monkeypatch.setattr(CheckRunner, "check", never)
    result = sample.run(VIEW, partition="2026-03-02")
    assert "failed check 'keys'" in reasons(result)[0]


def test_a_crashed_check_that_never_gave_its_verdict_is_no_verdict(
    sample: "Sample", monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(CheckRunner, "check", never)
        assert not sample.run(SOURCE, partition="2026-03-01").success
    assert sample.run(VIEW, partition="2026-03-01").success
    assert on_hand(sample) == [0, 1, 2, 3]


def test_what_the_gate_found_is_on_the_sources_page(sample: "Sample"):
    assert not sample.run(VIEW, partition="2026-03-02").success
    key = dg.AssetCheckKey(sample.key(SOURCE), "keys")
    record = sample.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert not record.evaluation.passed
    assert record.evaluation.severity == dg.AssetCheckSeverity.ERROR
    assert "2026-03-02..2026-03-03" in record.evaluation.description


def test_a_view_that_the_registry_lacks_is_registered_on_the_way(
    make_sample: Callable[..., "Sample"],
):
    sample = make_sample("field_mappings")
    assert "data/registry.db" not in sample.files()
    assert sample.run(VIEW, partition="2026-03-01").success
    assert on_hand(sample) == [0, 1, 2, 3]


def test_an_empty_window_is_a_failed_check(sample: "Sample"):
    result = sample.run(VIEW, partition="2026-03-09")
    assert not result.success
    assert "window 2026-03-09..2026-03-10 failed check 'row_count'" in reasons(result)[0]
    assert sample.windows("stock") == []


def tag_the_source(sample: "Sample", tags: dict[str, str]) -> None:
    path = sample.repo / "stock.py"
    text = path.read_text()
    assert text.count('name="voorraad",') == 1
    path.write_text(text.replace('name="voorraad",', f'name="voorraad",\n    tags={tags!r},'))


def test_a_source_may_say_that_its_windows_can_be_empty(sample: "Sample"):
    assert not sample.run(VIEW, partition="2026-03-09").success
    tag_the_source(sample, {"dagster/min_rows": "0"})
    assert sample.run("registry").success
    # The verdict of before was against another rule.
    assert sample.run(SOURCE, VIEW, partition="2026-03-09").success
    assert sample.run(VIEW, partition="2026-03-01").success
    assert sample.windows("stock") == ["2026-03-01..2026-03-02", "2026-03-09..2026-03-10"]
    assert on_hand(sample) == [0, 1, 2, 3]


def test_or_that_some_rows_are_too_few(sample: "Sample"):
    tag_the_source(sample, {"dagster/min_rows": "5"})
    result = sample.run(VIEW, partition="2026-03-01")
    assert not result.success
    assert "found 4, expected at least 5 rows" in reasons(result)[0]
    assert sample.windows("stock") == []


@pytest.mark.parametrize(
    ("tag", "value", "problem"),
    [
        ("min_row", "0", "has the unknown tag 'dagster/min_row'; did you mean 'dagster/min_rows'?"),
        ("min_rows", "-1", "tag 'dagster/min_rows' is '-1'; use a number of rows, such as 0"),
        ("min_rows", "few", "tag 'dagster/min_rows' is 'few'; use a number of rows, such as 0"),
        ("cron", "@daily", "has the unknown tag 'dagster/cron'; put it on the feature view"),
        ("x", "1", "has the unknown tag 'dagster/x'; known tags: dagster/min_rows"),
    ],
)
def test_a_sources_tag_that_means_nothing_keeps_the_repo_from_loading(
    sample: "Sample", tag: str, value: str, problem: str
):
    tag_the_source(sample, {f"dagster/{tag}": value})
    with pytest.raises(RepoError) as refused:
        sample.definitions()
    assert str(refused.value) == f"source 'voorraad': {problem}"


def never(*_arguments: Any, **_named: Any) -> Any:
    raise AssertionError("checked again")


@pytest.fixture
def capture_warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Warnings that runs log."""
    said: list[str] = []
    emit = logging.Logger.handle

    def handle(self: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            said.append(record.getMessage())
        emit(self, record)

    monkeypatch.setattr(logging.Logger, "handle", handle)
    return said


@pytest.mark.parametrize("is_spoilt", [False, True])
def test_a_key_whose_newest_row_vanished_falls_back_on_what_passed_alone(
    sample: "Sample", *, is_spoilt: bool
):
    for day in ("2026-03-01", "2026-03-03"):
        assert sample.run(SOURCE, VIEW, partition=day).success
    first_day = []

    def change(rows: list[dict[str, Any]]) -> None:
        days = {1: [], 3: []}
        for row in rows:
            days.get(row["tijdstip"].day, []).append(row)
        rows.remove(next(row for row in days[3] if row["artikel"] == "sku-1"))
        first_day.extend(row["aantal"] for row in days[1] if row["artikel"] == "sku-1")
        if is_spoilt:
            next(row for row in days[1] if row["artikel"] == "sku-0")["artikel"] = None

    rewrite(sample.repo, change)
    assert sample.run(VIEW, partition="2026-03-03").success
    assert on_hand(sample)[1] == (None if is_spoilt else first_day[-1])


def test_a_source_that_the_registry_reads_elsewhere_is_not_served_unchecked(sample: "Sample"):
    [file] = [each for each in sample.repo.glob("*.py") if "voorraad.parquet" in each.read_text()]
    file.write_text(file.read_text().replace("voorraad.parquet", "elders.parquet"))
    (sample.repo / "data/elders.parquet").write_bytes(
        (sample.repo / "data/voorraad.parquet").read_bytes()
    )
    result = sample.run(VIEW, partition="2026-03-01")
    assert not result.success
    [reason] = reasons(result)
    assert reason == (
        "feature view 'stock': its source 'voorraad' is another table in the registry than in the "
        "repo, or has other time columns there; materialize the registry asset (feast apply), then "
        "rerun"
    )
    assert sample.run("registry").success
    assert sample.run(VIEW, partition="2026-03-01").success


def test_neither_is_one_that_the_registry_reads_by_another_time(sample: "Sample"):
    path = sample.repo / "stock.py"
    text = path.read_text()
    change_table(
        sample.repo / "data/voorraad.parquet",
        lambda table: table.append_column("gemeten", table["tijdstip"]),
    )
    changed = text.replace('timestamp_field="tijdstip"', 'timestamp_field="gemeten"')
    assert changed != text
    path.write_text(changed)
    result = sample.run(VIEW, partition="2026-03-01")
    assert not result.success
    assert "has other time columns there" in reasons(result)[0]


def test_a_window_before_the_first_partition_has_passed_nothing(sample: "Sample"):
    gate = SourceGate("stock", SourceChecks(sample.graph.sources["voorraad"], sample.key(SOURCE)))
    early = Window(datetime(2019, 1, 1, tzinfo=UTC), datetime(2019, 1, 2, tzinfo=UTC))
    store = sample.project.store()
    with (
        dg.DagsterInstance.ephemeral() as instance,
        open_window(store.config, gate.checks.data.obj, [early]) as opened,
    ):
        run = GateRun(instance, store)
        with pytest.raises(GateError, match="before the first partition"):
            gate.require(run, opened, early)
        assert gate.servable(run, opened, [early]) == []
