"""Every layout in which Arrow can keep the same values gives the same features."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import dataset as ds

from feature_platform.offline.source_table import Reading, table_in_memory, table_of_dataset

TEXTS = st.lists(st.none() | st.text(max_size=5), min_size=1, max_size=8)
LISTS = st.lists(
    st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3), min_size=1, max_size=8
)


def inside(kind: pa.DataType) -> Callable[[Sequence[Any]], pa.Array]:
    """Texts in a struct and in a map, as one column."""

    def made(values: Sequence[Any]) -> pa.Array:
        struct = pa.struct([("t", kind), ("m", pa.map_(pa.string(), kind))])
        return pa.array([{"t": each, "m": [("k", each)]} for each in values], struct)

    return made


TEXT_LAYOUTS: dict[str, Callable[[Sequence[Any]], pa.Array]] = {
    "view": lambda values: pa.array(values, pa.string_view()),
    "large": lambda values: pa.array(values, pa.large_string()),
    "dictionary": lambda values: pa.array(values, pa.string()).dictionary_encode(),
    "run ends": lambda values: pc.run_end_encode(pa.array(values, pa.string())),
    "bytes view": lambda values: pa.array(
        [None if each is None else each.encode() for each in values], pa.binary_view()
    ),
    "inside": inside(pa.string_view()),
}
LIST_LAYOUTS: dict[str, Callable[[Sequence[Any]], pa.Array]] = {
    "list of views": lambda values: pa.array(values, pa.list_(pa.string_view())),
    "list view": lambda values: pa.array(values, pa.list_view(pa.string())),
    "large list": lambda values: pa.array(values, pa.large_list(pa.large_string())),
}
PATIENT = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def require_fetched(column: pa.Array, folder: Path) -> None:
    """Each second row comes out as it went in, from memory and, where it can be, from a file."""
    table = pa.table({"x": column})
    opened = [table_in_memory("s", table)]
    if not pa.types.is_run_end_encoded(column.type):  # Parquet has no such column
        pq.write_table(table, folder / "x.parquet")
        opened.append(table_of_dataset("s", ds.dataset([str(folder / "x.parquet")]), 1))
    rows = np.arange(0, len(column), 2, dtype=np.int64)
    for each in opened:
        found = each.fetch(rows, ["x"], Reading())
        assert found.column("x").to_pylist() == column.to_pylist()[::2]
        # What the join does with it next.
        assert found.filter(pa.array([True] * len(rows))).take([0]).num_rows == 1


@pytest.mark.parametrize("layout", TEXT_LAYOUTS)
@given(values=TEXTS)
@PATIENT
def test_texts_in_any_layout_are_the_texts_they_are(
    tmp_path: Path, layout: str, values: Sequence[str | None]
):
    require_fetched(TEXT_LAYOUTS[layout](values), tmp_path)


@pytest.mark.parametrize("layout", LIST_LAYOUTS)
@given(values=LISTS)
@PATIENT
def test_lists_in_any_layout_are_the_lists_they_are(
    tmp_path: Path, layout: str, values: Sequence[Sequence[str | None] | None]
):
    require_fetched(LIST_LAYOUTS[layout](values), tmp_path)
