"""``feature-platform demo --scenario drift``: the right features alarm when they should."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from worlds.places import FRAUD_REPO, copied

from feature_platform.cli import main
from feature_platform.cli.commands.demo_drift import CHANGE_2017, _change


@pytest.mark.parametrize(
    "today", [date(2017, 6, 21), date(2018, 6, 19), date(2026, 1, 1), date(2026, 12, 31)]
)
def test_the_scenario_is_the_newest_replay_of_the_same_spring_that_is_over(today: date):
    change = _change(today)
    assert (change - CHANGE_2017).days % 364 == 0
    assert change + timedelta(days=30) <= today < change + timedelta(days=30 + 364)


@pytest.mark.slow
def test_amounts_that_grow_alarm_on_the_features_made_of_them_and_on_no_others(tmp_path: Path):
    repo = copied(FRAUD_REPO, tmp_path / "repo")
    arguments = ["demo", "--scenario", "drift", "--repo", str(repo), "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    verdicts = {each["feature"]: each["verdict"] for each in found["features"]}
    assert {name for name, verdict in verdicts.items() if verdict == "drift"} == {
        "transaction_amount_avg_7d",
        "transaction_amount_max_7d",
        "avg_transaction_amount",
    }
    assert {each["before"] for each in found["features"]} == {0}
    for page in found["reports"].values():
        assert "has drifted" in Path(page).read_text()
    # The repo itself is as it was.
    assert {path.name for path in (repo / "data").iterdir()} == {"scenarios"}
    assert (repo / "raw_tables.py").read_text() == (FRAUD_REPO / "raw_tables.py").read_text()
