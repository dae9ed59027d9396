"""On-demand views that compute one request at a time (``singleton=True``), over many rows.

Feast (0.67) calls their function with whole columns when it makes a training set, and with the
first row alone when it serves several.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from feast import Field


def computed_row_by_row(views: Iterable[Any]) -> None:
    """Let the views that are singletons compute tables a row at a time; the objects are changed."""
    for view in views:
        if view.singleton and not isinstance(view.feature_transformation, _RowByRow):
            view.feature_transformation = _RowByRow(view.feature_transformation)


class _RowByRow:
    """A Python transformation of one request, over the rows of a table."""

    def __init__(self, transformation: Any) -> None:
        self._transformation = transformation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transformation, name)

    def transform_arrow(self, table: pa.Table, features: "Sequence[Field]") -> pa.Table:
        """As Feast's method, whose function gets one value of each column."""
        outputs = [self._transformation.udf(row) for row in table.to_pylist()]
        names = list(outputs[0]) if outputs else [field.name for field in features]
        return pa.table({name: [output[name] for output in outputs] for name in names})
