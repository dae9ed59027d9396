"""Columns whose names differ by case: read, or refused by name, and never taken for another."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds.repos import TIME, opened, write_table
from worlds.times import day

from feature_platform.errors import SourceError
from feature_platform.materialize.materialize_window import materialize_window


def served(folder: Path, columns: list[str], features: list[str]) -> dict[str, Any]:
    """What is served of a table whose columns hold 0, 1, 2, in their order."""
    values = {name: [number] for number, name in enumerate(columns)}
    write_table(folder / "t.parquet", {"shop_id": [1], **values, "at": [day(1, 1)]}, {"at": TIME})
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
    source = FileSource(name="t", path=str(folder / "t.parquet"), timestamp_field="at")
    view = FeatureView(
        name="v",
        entities=[shop],
        ttl=timedelta(0),
        source=source,
        schema=[Field(name=name, dtype=Int64) for name in features],
    )
    store = opened(folder, shop, source, view)
    materialize_window(store, "v", day(1), day(2))
    asked = [f"v:{name}" for name in features]
    found = store.get_online_features(features=asked, entity_rows=[{"shop_id": 1}]).to_dict()
    return {name: found[name] for name in features}


@pytest.mark.parametrize("columns", [["n", "N"], ["N", "n"]])
def test_two_columns_that_differ_by_case_alone_are_refused_by_name(
    columns: list[str], tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=r"'[nN]' and '[nN]' differ by case alone.*rename '[nN]'"):
        served(tmp_path, columns, ["n", "N"])


def test_a_column_of_another_case_is_named_with_the_mapping(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no column 'n', but 'N'.*\{'N': 'n'\}"):
        served(tmp_path, ["N"], ["n"])


NAMES = st.sampled_from(["n", "N", "nn", "Nn", "NN", "n_1", "N_1", "é", "É", "ß", "SS", "i", "İ"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    columns=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    features=st.lists(NAMES, min_size=1, max_size=2, unique=True),
)
def test_a_feature_is_its_own_column_or_refused(
    columns: list[str], features: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        found = served(tmp_path_factory.mktemp("case"), columns, features)
    except SourceError:
        return
    assert found == {name: [columns.index(name)] for name in features}
