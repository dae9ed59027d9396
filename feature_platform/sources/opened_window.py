"""`open_window`: windows of a batch source as they were at one moment, for all questions on them.

What is hashed, checked, written, profiled and sampled of an opened window is one content, whatever
happens to the source meanwhile.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from feature_platform.core.windows import Window, merge
from feature_platform.sources.relation import Relation, open_relation
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.warehouses import warehouse_of
from feature_platform.sources.window_digests import WindowDigest, digests_of, relation_digests

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

    from feature_platform.sources.warehouse import NewestRows, Snapshot, Warehouse


class OpenedWindow:
    """Some windows of a batch source at one moment; made by `open_window`.

    Parquet files are copied into a table that DuckDB may spill, and so are sources that are pulled
    through an offline store. PostgreSQL answers from one transaction, BigQuery from one moment of
    its time travel; rows that are needed here come from there as well.

    Attributes:
        source: The batch source.
        windows: The half-open windows of event time, merged.
    """

    def __init__(  # noqa: PLR0917  what is opened, and where
        self,
        config: "RepoConfig",
        source: "DataSource",
        windows: Sequence[Window],
        columns: Sequence[str] | None,
        snapshot: "Snapshot | None",
        stack: ExitStack,
    ) -> None:
        self.source = source
        self.windows = windows
        self._config = config
        self._columns = columns
        self._snapshot = snapshot
        self._stack = stack
        self._digests: dict[object, list[WindowDigest]] = {}

    @cached_property
    def relation(self) -> Relation:
        """The rows, read once.

        Raises:
            SourceError: The table, a column, or a file of it is missing or unreadable.
        """
        return self._stack.enter_context(self._open(self.windows, None))

    @contextmanager
    def chosen(self, newest: "NewestRows", windows: Sequence[Window]) -> Iterator[Relation]:
        """The rows of some of the windows that suffice, if the warehouse can choose, or all rows.

        Raises:
            SourceError: As `relation`.
        """
        if self._snapshot is None:
            yield self.relation
            return
        with self._open(windows, newest) as relation:
            yield relation

    def digests(
        self,
        windows: Sequence[Window],
        columns: Sequence[str] | None = None,
        exclude: Collection[str] | None = None,
    ) -> list[WindowDigest]:
        """The digests of some of the windows, as those of `window_digests`.

        Several gates ask for the same ones; they are computed once.
        """
        if not windows:
            return []
        counted = None if columns is None else tuple(columns)
        asked = (tuple(windows), counted, None if exclude is None else frozenset(exclude))
        if asked not in self._digests:
            self._digests[asked] = self._digested(windows, columns, exclude)
        return list(self._digests[asked])

    def _digested(
        self,
        windows: Sequence[Window],
        columns: Sequence[str] | None,
        exclude: Collection[str] | None,
    ) -> list[WindowDigest]:
        dropped = {time_columns(self.source)[1]} if exclude is None else set(exclude)
        if self._snapshot is not None:
            return digests_of(windows, *self._snapshot.sums(windows, columns, dropped))
        relation = self.relation
        chosen = relation.columns if columns is None else columns
        return relation_digests(relation, windows, [each for each in chosen if each not in dropped])

    def _open(
        self, windows: Sequence[Window], newest: "NewestRows | None"
    ) -> AbstractContextManager[Relation]:
        return open_relation(
            self._config,
            self.source,
            windows,
            self._columns,
            newest,
            keep=True,
            snapshot=self._snapshot,
        )


@contextmanager
def open_window(
    config: "RepoConfig",
    source: "DataSource",
    windows: Sequence[Window],
    columns: Sequence[str] | None = None,
) -> Iterator[OpenedWindow]:
    """Open windows of a source; see `OpenedWindow`.

    Args:
        config: The repo's configuration; relative paths start at its repo.
        source: A batch source.
        windows: Half-open windows of event time; they may overlap.
        columns: Source columns that are needed besides the time columns; None means all.

    Raises:
        SourceError: The source cannot be reached. Rows of files are read when they are first asked
            for, and may be missing or unreadable then.
    """
    warehouse: Warehouse = warehouse_of(config, source)
    with ExitStack() as stack:
        merged = merge(windows)
        snapshot = stack.enter_context(warehouse.snapshot(config, source, merged))
        yield OpenedWindow(config, source, merged, columns, snapshot, stack)
