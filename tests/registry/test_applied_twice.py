"""A repo of any shape that is applied twice keeps what the registry records of its views."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from worlds.places import SAMPLE_REPOS
from worlds.times import day

from feature_platform.core.windows import Window
from feature_platform.registry.registry_apply import apply
from feature_platform.registry.windows_on_record import materialized_windows, record_window

if TYPE_CHECKING:
    from worlds.samples import Sample

# Tables of the other are in a server.
SHAPES = sorted(
    path.name for path in SAMPLE_REPOS.iterdir() if path.is_dir() and path.name != "query_source"
)


@pytest.mark.parametrize("shape", SHAPES)
def test_windows_stay_where_no_key_changes(shape: str, make_sample: Callable[..., "Sample"]):
    sample = make_sample(shape)
    views = sorted(sample.graph.materializable)
    store = sample.project.store()
    apply(store, sample.project.contents)
    for view in views:
        record_window(store, view, Window(day(1), day(2)))
    store = sample.project.store()
    assert not apply(store, sample.project.contents)
    for view in views:
        assert materialized_windows(store, view) == [Window(day(1), day(2))], view
