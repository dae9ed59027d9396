"""The rows of a source, read once for all questions about the same windows."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from feature_platform.core.windows import Window, merge
from feature_platform.sources.relation import Relation, open_relation

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig


class KeptRelations:
    """Relations of one source that stay open, one for each set of windows.

    Args:
        config: The repo's configuration.
        source: A batch source.
        columns: Source columns that are needed.
    """

    def __init__(self, config: "RepoConfig", source: "DataSource", columns: Sequence[str]) -> None:
        self._config = config
        self._source = source
        self._columns = list(columns)
        self._open = ExitStack()
        self._kept: dict[tuple[Window, ...], Relation] = {}

    def of(self, windows: Sequence[Window]) -> Relation:
        """The rows of some windows, open until `close`.

        Raises:
            SourceError: As `open_relation`.
        """
        asked = tuple(merge(windows))
        if asked not in self._kept:
            opened = open_relation(self._config, self._source, asked, self._columns)
            self._kept[asked] = self._open.enter_context(opened)
        return self._kept[asked]

    def close(self) -> None:
        """Close all of them."""
        self._kept.clear()
        self._open.close()
