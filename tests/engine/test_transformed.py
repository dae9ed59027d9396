"""Views that Feast's local engine computes: the same guard, whatever the order of windows."""

from pathlib import Path

import pandas as pd
import pytest
from feast import BatchFeatureView, FeatureStore, Field
from feast.types import Float64, Int64
from sample_repos import GUARDED, SampleRepo, day, row

from feature_platform.errors import OnlineStoreError
from feature_platform.store.materialize import materialize_window
from feature_platform.store.rebuild import rebuild_online

KEY = Field(name="user_id", dtype=Int64)


def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    """A transformation of Feast, on a pandas frame."""
    return rows.assign(double=rows["amount"] * 2)


def _applied(repo: SampleRepo) -> FeatureStore:
    store = repo.applied()
    user, source = store.get_entity("user"), repo.source
    base = BatchFeatureView(
        name="base",
        entities=[user],
        schema=[KEY, Field(name="amount", dtype=Float64)],
        source=source,
        online=True,
    )
    derived = BatchFeatureView(
        name="doubles",
        mode="pandas",
        entities=[user],
        schema=[KEY, Field(name="double", dtype=Float64)],
        source=[base],
        sink_source=source,
        udf=doubled,
        udf_string="doubled",
        online=True,
    )
    store.apply([base, derived])
    return store


@pytest.mark.parametrize(
    "kind", ["sqlite", GUARDED["sqlite"], "unknown_stores.UnknownSqliteOnlineStore"]
)
def test_the_latest_row_is_served_whatever_the_order(tmp_path: Path, kind: str) -> None:
    repo = SampleRepo(tmp_path, online={"type": kind})
    repo.write([row(1, day(1, 5), 3.0), row(2, day(1), 5.0), row(1, day(2), 10.0)])
    store = _applied(repo)
    rows = [{"user_id": 1}, {"user_id": 2}]
    for number in (2, 1, 1):
        result = materialize_window(store, "doubles", day(number), day(number + 1))
        assert (result.path, result.reason[:21]) == ("stock", "Feast computes it: it")
    answer = store.get_online_features(["doubles:double"], rows).to_dict()
    assert answer["double"] == [20.0, 10.0]
    with pytest.raises(OnlineStoreError, match="cannot be rebuilt in one pass"):
        rebuild_online(store, "doubles")
