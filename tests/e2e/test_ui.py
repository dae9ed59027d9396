"""The asset graph in a real browser, from the picture to a refused window."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

# One server for the whole file, on one worker.
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("ui"), pytest.mark.timeout(600)]

YESTERDAY, DAY_BEFORE = (
    (datetime.now(UTC) - timedelta(days=days)).date().isoformat() for days in (1, 2)
)
EDGES = {
    ("transactions", "user_transactions"),
    ("transactions", "merchant_stats"),
    ("chargebacks", "merchant_stats"),
    ("user_transactions", "user_transaction_features"),
    ("merchant_stats", "merchant_risk_features"),
    ("registry", "user_transaction_features"),
    ("registry", "merchant_risk_features"),
    ("user_transaction_features", "fraud_detection_v2"),
    ("merchant_risk_features", "fraud_detection_v2"),
    # Drift of a view is called like the view.
    ("user_transaction_features", "user_transaction_features"),
    ("merchant_risk_features", "merchant_risk_features"),
}
# The service, its skew and its training set are all called like the service.
ARROWS = len(EDGES) + 2 * 2
FEATURES = (
    "transaction_count_7d",
    "transaction_amount_avg_7d",
    "transaction_amount_max_7d",
    "unique_merchants_7d",
    "avg_time_between_transactions",
)
CHECKS = {
    "schema": "Columns and types that the feature views declare are there.",
    "keys": "Entity keys are not null",
    "event_time": "Event times lie inside the window",
    "numbers": "Numbers are finite",
    "row_count": "The window is not empty",
    "suite": "The repo's own expectations on this source.",
}
# Where each box and each arrow of the picture is.
DRAWN = """() => ({
  boxes: [...document.querySelectorAll("foreignObject")].map(box => ({
    name: box.querySelector("[data-tooltip]")?.dataset.tooltip ?? box.innerText.split("\\n")[0],
    x: box.x.baseVal.value, y: box.y.baseVal.value,
    width: box.width.baseVal.value, height: box.height.baseVal.value,
  })),
  arrows: [...document.querySelectorAll("path[marker-end]")].map(path => {
    const [from, to] = [path.getPointAtLength(0), path.getPointAtLength(path.getTotalLength())];
    return {from: [from.x, from.y], to: [to.x, to.y]};
  }),
})"""


def test_the_graph_shows_every_asset_of_the_repo_with_its_arrows(user: Any) -> None:
    user.open("/")
    user.page.get_by_role("navigation").get_by_text("Lineage", exact=True).click()
    for name in {name for edge in EDGES for name in edge}:
        expect(
            user.page.locator("foreignObject").get_by_text(name, exact=True).first
        ).to_be_visible()
    expect(user.page.locator("path[marker-end]")).to_have_count(ARROWS)

    assert _arrows(user.page) == EDGES
    assert user.outside == []


def test_a_partition_is_materialized_from_the_page_and_read_off_it(user: Any) -> None:
    page = user.page
    user.open("/asset-groups")
    run = user.materialize("Materialize all (9)", YESTERDAY)
    user.wait_for_run(run, "Success")

    # From the picture to the feature view.
    user.open("/asset-groups")
    node = (
        page.locator("foreignObject")
        .filter(has=page.get_by_text("user_transaction_features", exact=True))
        .filter(has_text="SQLite")
    )
    expect(node).to_contain_text("3 / 3 Passed")
    node.get_by_text("user_transaction_features", exact=True).click()
    page.get_by_role("link", name="View in Asset Catalog").click()

    # What it is.
    expect(
        page.get_by_text("How a user has been spending over the last seven days.")
    ).to_be_visible()
    for name, kind in (("user_id", "String"), ("transaction_amount_avg_7d", "Float32")):
        expect(user.row(name)).to_contain_text(kind)
    expect(user.row("transaction_count_7d")).to_contain_text("Transactions in the 7 days before")
    expect(user.row("feast/ttl")).to_contain_text("7 days")
    expect(user.row("feast/entities")).to_contain_text("user_id")
    for said in (
        "team: fraud-detection",
        "version: v2",
        "feast",
        "SQLite",
        "fraud_detection_daily",
    ):
        expect(page.get_by_text(said, exact=True).first).to_be_visible()
    expect(page.get_by_text("Owners").locator("xpath=..")).to_contain_text("fraud-detection")
    expect(page.get_by_text("At 06:00 AM UTC")).to_be_visible()
    expect(
        page.get_by_text("Fails if more than 32 hours since last materialization")
    ).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^Open its definition"))).to_have_attribute(
        "href", re.compile(r"feature_views\.py:\d+")
    )

    # What was put online.
    page.get_by_role("tab", name="Partitions").click()
    expect(page.get_by_text("Materialized (1)")).to_be_visible()
    user.choose_partition(YESTERDAY)
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    rows = int(user.row("dagster/partition_row_count").get_by_role("cell").nth(1).inner_text())
    assert rows > 1000
    expect(user.row("feature_platform/rows_read")).to_contain_text(str(rows))
    content = user.row("feature_platform/content_hash").get_by_role("cell").nth(1).inner_text()
    assert re.fullmatch(r"[0-9a-f]{32}", content)

    # What is served equals the source, key by key.
    page.get_by_role("tab", name="Checks").click()
    user.choose_check("online_equals_offline")
    expect(page.get_by_text(f"{rows} of {rows} keys compared, all equal")).to_be_visible()

    # The source's window is the same rows, with the same content, and passed its checks.
    user.open_asset("sources/user_transactions", "Partitions")
    user.choose_partition(YESTERDAY)
    expect(user.row("dagster/partition_row_count")).to_contain_text(str(rows))
    expect(user.row("feature_platform/content_hash")).to_contain_text(content)
    page.get_by_role("tab", name="Checks").click()
    for check, description in CHECKS.items():
        user.choose_check(check)
        expect(page.get_by_text(description)).to_be_visible()
        expect(page.get_by_text("passed on")).to_be_visible()
    held = user.row("user_id: expect_column_value_lengths_to_be_between").last
    expect(held).to_contain_text("true")
    expect(held).to_contain_text(f"0 of {rows} rows")

    assert _column_lineage(user, run) == {
        name: [f"fraud_detection/sources/user_transactions:{name}"] for name in FEATURES
    }
    assert user.outside == []
    assert user.server.called == []


@pytest.fixture
def percent(user: Any) -> Iterator[None]:
    """Somebody makes the chargeback rate a percentage; the views and their users expect a share."""
    path = user.server.repo / "sql" / "merchant_stats.sql"
    sql = path.read_text()
    changed = sql.replace("CAST(chargebacks / NULLIF", "CAST(100 * chargebacks / NULLIF")
    assert changed != sql
    path.write_text(changed)
    yield
    path.write_text(sql)


@pytest.mark.usefixtures("percent")
def test_a_window_that_fails_a_check_says_why_and_is_not_served(user: Any) -> None:
    page = user.page
    user.open("/assets")
    for name in ("sources/merchant_stats", "feature_views/merchant_risk_features"):
        page.get_by_test_id(f"checkbox-fraud_detection/{name}").locator("xpath=..").click()
    user.wait_for_run(user.materialize("Materialize selected (2)", DAY_BEFORE), "Failure")

    # The check says what was expected, what was found, and shows a row.
    user.open_asset("sources/merchant_stats", "Checks")
    user.choose_check("suite")
    expect(page.get_by_text(CHECKS["suite"])).to_be_visible()
    expect(page.get_by_text("Failed", exact=True).filter(visible=True)).to_have_count(2)
    expect(
        page.get_by_text(
            re.compile(
                r"chargeback_rate_30d: expect_column_values_to_be_between failed: \d+ of \d+ rows "
                r".*a share of the transactions, e\.g\. "
            )
        )
    ).to_be_visible()
    rate = user.row("chargeback_rate_30d: expect_column_values_to_be_between").last
    expect(rate).to_contain_text("false")
    page.get_by_role("row").filter(has_text="offending_rows").get_by_text("Show JSON").click()
    shown = _json(page.get_by_role("dialog").inner_text())
    assert [each["column"] for each in shown] == ["chargeback_rate_30d"]
    assert len(shown[0]["rows"]) == 5
    assert all(row["chargeback_rate_30d"] > 1 for row in shown[0]["rows"])

    # The view was not touched.
    user.open_asset("feature_views/merchant_risk_features", "Partitions")
    expect(page.get_by_text("Failed (1)")).to_be_visible()
    user.choose_partition(DAY_BEFORE)
    expect(page.get_by_text("failed, and did not materialize this asset.")).to_be_visible()
    expect(page.get_by_text("No metadata entries")).to_be_visible()

    # Nor is it when it is selected alone, without the source and its checks.
    user.wait_for_run(user.materialize("Materialize", DAY_BEFORE), "Failure")
    expect(
        page.get_by_text(
            re.compile(
                "feature view 'merchant_risk_features': window .* failed check 'suite' .*"
                "fix source 'merchant_stats' and rerun"
            )
        ).first
    ).to_be_visible()
    user.open_asset("feature_views/merchant_risk_features", "Partitions")
    user.choose_partition(DAY_BEFORE)
    expect(page.get_by_text("failed, and did not materialize this asset.")).to_be_visible()
    assert user.outside == []
    assert user.server.called == []


def _arrows(page: Page) -> set[tuple[str, str]]:
    """The arrows of the graph, by the boxes at whose sides they begin and end."""
    drawn = page.evaluate(DRAWN)

    def at(x: float, y: float, side: int) -> str:
        (name,) = (
            box["name"]
            for box in drawn["boxes"]
            if abs(box["x"] + side * box["width"] - x) < 20
            and abs(box["y"] + box["height"] / 2 - y) < 2
        )
        return str(name)

    return {(at(*arrow["from"], 1), at(*arrow["to"], 0)) for arrow in drawn["arrows"]}


def _column_lineage(user: Any, run: str) -> dict[str, list[str]]:
    """Feature to the columns it is made from, as the run's page has it behind two links."""
    page = user.page
    user.open(run)
    wanted = "Materialized value fraud_detection feature_views user_transaction_features"
    page.get_by_placeholder("Filter…").fill(wanted)
    page.get_by_placeholder("Filter…").press("Enter")
    expect(page.get_by_text("Materialized value")).to_have_count(1)
    page.get_by_text("View full message").click()
    lineage = page.get_by_role("dialog").get_by_text("dagster/column_lineage")
    lineage.locator("xpath=ancestor::tr[1]").get_by_text("Show JSON").click()
    said = page.get_by_role("dialog").last
    expect(said).to_contain_text("columnDeps")
    return {
        each["columnName"]: [
            f"{'/'.join(dep['assetKey']['path'])}:{dep['columnName']}" for dep in each["columnDeps"]
        ]
        for each in _json(said.inner_text())
    }


def _json(text: str) -> Any:
    """The JSON list that a dialog shows between its title and its buttons."""
    return json.loads(text[text.index("[") : text.rindex("]") + 1])
