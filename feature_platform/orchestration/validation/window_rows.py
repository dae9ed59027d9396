"""One window among opened rows, as the default checks read it."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from feature_platform.core.sql import identifier, inside
from feature_platform.core.windows import Window
from feature_platform.sources.relation import VIEW, Relation


class WindowRows:
    """The rows of one window; see `CheckedRows`.

    Args:
        relation: Opened rows of at least the window.
        window: Half-open.
    """

    def __init__(self, relation: Relation, window: Window) -> None:
        self._relation = relation
        self._rows = f"FROM {VIEW} WHERE {inside(relation.timestamp, [window])}"
        self.schema = relation.schema(f"SELECT * {self._rows}")

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows with all columns."""
        yield from self._relation.batches(f"SELECT * {self._rows}")

    def repeated(self, columns: Sequence[str], most: int) -> tuple[int, pa.Table]:
        """Rows that others equal in some columns: their number, and the first of them."""
        names = ", ".join(map(identifier, columns))
        grouped = f"SELECT count(*) AS n {self._rows} GROUP BY {names} HAVING n > 1"
        ((count,),) = self._relation.rows(f"SELECT coalesce(sum(n), 0) FROM ({grouped})")
        if not count:
            return 0, self.schema.empty_table()
        some = (
            f"SELECT * {self._rows} QUALIFY count(*) OVER (PARTITION BY {names}) > 1 "
            f"ORDER BY {names} LIMIT {most}"
        )
        return int(count), pa.Table.from_batches(self._relation.batches(some), self.schema)
