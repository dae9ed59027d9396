import importlib.util
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import yaml
from worlds.arrow_rows import ArrowRows
from worlds.places import FRAUD_REPO

from feature_platform.core.windows import Window
from feature_platform.errors import FeaturePlatformError, RepoError
from feature_platform.orchestration.validation.default_checks import SourceSchema
from feature_platform.orchestration.validation.gx import ExpectationSpec
from feature_platform.orchestration.validation.source_validator import SourceValidator
from feature_platform.orchestration.validation.suites import load_suite
from feature_platform.tables.source_sql import SourceSql

OURS = FRAUD_REPO / "expectations"
BETWEEN = "expect_column_values_to_be_between"
START = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))


def write(folder: Path, content: Any, name: str = "payments.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def suite(**entry: Any) -> dict[str, Any]:
    given = {"type": BETWEEN, "kwargs": {"column": "amount", "min_value": 0}}
    return {"name": "payments", "expectations": [{**given, **entry}]}


def test_a_suite_in_json_becomes_specs(tmp_path: Path):
    path = write(tmp_path, suite(description="nobody pays less than nothing"))

    assert load_suite(path) == (
        ExpectationSpec(
            BETWEEN,
            {"column": "amount", "min_value": 0},
            "error",
            "nobody pays less than nothing",
        ),
    )


@pytest.mark.parametrize("name", ["payments.yaml", "payments.yml"])
def test_a_suite_in_yaml_means_the_same(tmp_path: Path, name: str):
    as_json = write(tmp_path, suite())
    as_yaml = write(tmp_path, yaml.safe_dump(suite()), name)

    assert load_suite(as_yaml) == load_suite(as_json)


def test_what_great_expectations_itself_writes_can_be_read(tmp_path: Path):
    import great_expectations as gx

    gx.get_context(mode="ephemeral")
    made = gx.ExpectationSuite(
        name="payments",
        expectations=[
            gx.expectations.ExpectColumnValuesToBeBetween(
                column="amount", min_value=0, severity="warning", description="why"
            )
        ],
    )

    (spec,) = load_suite(write(tmp_path, json.dumps(made.to_json_dict())))

    assert (spec.type, spec.severity, spec.description) == (BETWEEN, "warn", "why")
    assert spec.kwargs["column"] == "amount"


@pytest.mark.parametrize(
    ("entry", "severity"),
    [
        ({}, "error"),
        ({"severity": "critical"}, "error"),
        ({"severity": "warning"}, "warn"),
        ({"severity": "info"}, "warn"),
        ({"meta": {"severity": "warning"}}, "warn"),
        ({"meta": {"severity": "warning"}, "severity": "critical"}, "error"),
        ({"meta": {"owner": "risk"}}, "error"),
    ],
)
def test_severity_says_whether_a_failure_blocks(
    tmp_path: Path, entry: Mapping[str, Any], severity: str
):
    (spec,) = load_suite(write(tmp_path, suite(**entry)))

    assert spec.severity == severity


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"name": "x", "expectations": [}', "is not JSON: Expecting value at line 1 column 32"),
        ("[1, 2]", "holds no list of expectations"),
        ({"name": "x"}, "holds no list of expectations"),
        ({"expectations": []}, "holds no list of expectations"),
        ({"expectations": ["unique"]}, "expectation 1 is 'unique'"),
        (
            {"expectations": [{"expectation_type": BETWEEN}]},
            "expectation 1 has an unknown key 'expectation_type'",
        ),
        (suite(kwarg={}), "has an unknown key 'kwarg' (did you mean 'kwargs'?)"),
        (suite(kwargs=["amount"]), "expectation 1 has kwargs ['amount']"),
        (
            suite(type="expect_column_value_to_be_between"),
            f"has an unknown type 'expect_column_value_to_be_between' (did you mean '{BETWEEN}'?)",
        ),
        (
            suite(kwargs={"column": "amount", "minimum_value": 0}),
            "has an unknown kwarg 'minimum_value' (did you mean 'min_value'?)",
        ),
        (suite(kwargs={"min_value": 0}), "cannot be made: column: field required"),
        (suite(kwargs={"column": "amount"}), "cannot be made: min_value and max_value"),
        (
            suite(kwargs={"column": "amount", "min_value": 0, "mostly": 3}),
            "cannot be made: mostly: ",
        ),
        (suite(severity="fatal"), "expectation 1 has severity 'fatal'"),
        (
            suite(kwargs={"column": "amount", "min_value": {"$PARAMETER": "floor"}}),
            "uses $PARAMETER",
        ),
        (
            suite(type="unexpected_rows_expectation", kwargs={"unexpected_rows_query": "SELECT 1"}),
            "runs SQL on a database",
        ),
    ],
)
def test_a_broken_suite_is_refused_with_file_value_and_remedy(
    tmp_path: Path, content: Any, problem: str
):
    path = write(tmp_path, content)

    with pytest.raises(RepoError) as refused:
        load_suite(path)

    error = refused.value
    assert isinstance(error, FeaturePlatformError)
    assert error.subject == f"expectation suite {path}"
    assert problem in error.problem
    assert error.remedy


def test_the_place_of_a_broken_expectation_is_told(tmp_path: Path):
    good, bad = suite()["expectations"][0], {"type": "expect_luck"}

    with pytest.raises(RepoError, match="expectation 3 has an unknown type 'expect_luck'"):
        load_suite(write(tmp_path, {"expectations": [good, good, bad]}))


def test_broken_yaml_is_refused(tmp_path: Path):
    path = write(tmp_path, "expectations: [\n  {type: x", "payments.yaml")

    with pytest.raises(RepoError, match=r"is not YAML: .* line 2"):
        load_suite(path)


def test_a_suite_that_is_not_there_or_not_text_is_refused(tmp_path: Path):
    with pytest.raises(RepoError, match="cannot be read"):
        load_suite(tmp_path / "payments.json")

    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RepoError, match="is not UTF-8 text"):
        load_suite(binary)


def test_one_suite_can_check_window_after_window(tmp_path: Path):
    specs = load_suite(write(tmp_path, suite()))

    said = [suite_outcome([value], specs).passed for value in (1.0, -1.0, 1.0)]

    assert said == [True, False, True]


def suite_outcome(amounts: Sequence[float], specs: Sequence[ExpectationSpec]) -> Any:
    times = pa.array([START] * len(amounts), pa.timestamp("us", "UTC"))
    schema = SourceSchema("payments", (), "t", None, (("amount", "Float64"),))
    table = pa.table({"t": times, "amount": pa.array(amounts, pa.float64())})
    return SourceValidator(schema, specs).validate(ArrowRows(table), WINDOW, now=WINDOW.end)[-1]


USERS = {
    "user_id": ["one", "two", "none"],
    "transaction_count_7d": [1, 2, 0],
    "transaction_amount_avg_7d": [10.0, 15.0, None],
    "transaction_amount_max_7d": [10.0, 20.0, None],
    "unique_merchants_7d": [1, 2, 0],
    "avg_time_between_transactions": [None, 3.5, None],
}
MERCHANTS = {
    "merchant_id": ["one", "two", "none"],
    "chargeback_rate_30d": [0.0, 0.1, None],
    "avg_transaction_amount": [10.0, 0.0, None],
    "total_transactions_30d": [10, 1, 0],
    "risk_score": [0.5, 1.0, 0.0],
}


def fraud_outcome(source: str, rows: Mapping[str, Any]) -> Any:
    key = next(iter(rows))
    schema = SourceSchema(source, (key,), "event_timestamp", None, ())
    times = pa.array([START] * 3, pa.timestamp("us", "UTC"))
    table = pa.table({**rows, "event_timestamp": times})
    specs = load_suite(OURS / f"{source}.json")
    return SourceValidator(schema, specs).validate(ArrowRows(table), WINDOW, now=WINDOW.end)[-1]


@pytest.mark.parametrize(
    ("source", "rows"), [("user_transactions", USERS), ("merchant_stats", MERCHANTS)]
)
def test_the_suites_of_the_fraud_repo_pass_on_sound_rows(source: str, rows: Mapping[str, Any]):
    outcome = fraud_outcome(source, rows)

    assert outcome.sentence == f"{len(outcome.results)} expectations held"


@pytest.mark.parametrize(
    ("source", "column", "values", "offender"),
    [
        ("user_transactions", "user_id", ["one", "", "none"], ""),
        ("user_transactions", "transaction_count_7d", [1, None, 0], "two"),
        ("user_transactions", "transaction_count_7d", [-1, 2, 0], "one"),
        ("user_transactions", "transaction_amount_avg_7d", [-5.0, 15.0, None], "one"),
        ("user_transactions", "transaction_amount_avg_7d", [10.0, 25.0, None], "two"),
        ("user_transactions", "transaction_amount_max_7d", [10.0, None, None], "two"),
        ("user_transactions", "transaction_amount_max_7d", [10.0, 20.0, 1.0], "none"),
        ("user_transactions", "unique_merchants_7d", [1, 3, 0], "two"),
        ("user_transactions", "unique_merchants_7d", [-1, 2, 0], "one"),
        ("user_transactions", "avg_time_between_transactions", [None, 169.0, None], "two"),
        ("user_transactions", "avg_time_between_transactions", [2.0, 3.5, None], "one"),
        ("merchant_stats", "merchant_id", ["one", "", "none"], ""),
        ("merchant_stats", "chargeback_rate_30d", [0.0, 1.1, None], "two"),
        ("merchant_stats", "avg_transaction_amount", [-1.0, 0.0, None], "one"),
        ("merchant_stats", "avg_transaction_amount", [None, 0.0, None], "one"),
        ("merchant_stats", "total_transactions_30d", [10, None, 0], "two"),
        ("merchant_stats", "total_transactions_30d", [10, 1, -1], "none"),
        ("merchant_stats", "risk_score", [0.5, 1.0, -0.1], "none"),
    ],
)
def test_the_suites_of_the_fraud_repo_find_what_cannot_be(
    source: str, column: str, values: list[Any], offender: str
):
    rows = USERS if source == "user_transactions" else MERCHANTS

    outcome = fraud_outcome(source, {**rows, column: values})

    key = next(iter(rows))
    assert outcome.blocks
    assert {row[key] for each in outcome.failures for row in each.unexpected_rows} == {offender}


def test_a_wave_of_chargebacks_is_a_warning():
    outcome = fraud_outcome("merchant_stats", {**MERCHANTS, "chargeback_rate_30d": [0.9, 0.9, 0.9]})

    assert (outcome.passed, outcome.blocks) == (False, False)
    assert "one transaction in five charged back" in outcome.sentence


@pytest.mark.parametrize(
    "day", [datetime(2017, 1, 2, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)]
)
@pytest.mark.parametrize(
    ("source", "key", "created"),
    [
        ("user_transactions", "user_id", "created_timestamp"),
        ("merchant_stats", "merchant_id", None),
    ],
)
def test_the_windows_that_the_fraud_repo_builds_pass_its_suites(
    source: str, key: str, created: str | None, day: datetime
):
    window = Window(day, day + timedelta(days=1))
    table = built_window(source, window)
    schema = SourceSchema(source, (key,), "event_timestamp", created, ((key, "String"),))
    specs = load_suite(OURS / f"{source}.json")

    outcomes = SourceValidator(schema, specs).validate(ArrowRows(table), window, now=window.end)

    assert table.num_rows > 10
    assert [outcome.sentence for outcome in outcomes if not outcome.passed] == []


def built_window(source: str, window: Window) -> pa.Table:
    """A window of real transactions, by the repo's own SQL."""
    repo = OURS.parent
    spec = importlib.util.spec_from_file_location("raw_tables_of_suites", repo / "raw_tables.py")
    assert spec is not None
    assert spec.loader is not None
    raw_tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(raw_tables)
    sql = (repo / "sql" / f"{source}.sql").read_text()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        raw_tables.bind(connection, window)
        return connection.sql(SourceSql(sql).render(window, window.end)).to_arrow_table()
