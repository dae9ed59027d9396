"""The protocol of a warehouse: a place where batch sources are stored, Parquet files included."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    import duckdb
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

    from feature_platform.core.windows import Window


@dataclass(frozen=True)
class Sums:
    """The content of a window: its number of rows, and two 64-bit hashes of each row, summed."""

    rows: int = 0
    low: int = 0
    high: int = 0


@dataclass(frozen=True)
class NewestRows:
    """Which rows suffice: for each of some keys, those with its greatest event time.

    Attributes:
        keys: The key columns of the source; none for a view without entities.
        among: For some of the key columns, the SQL literals of the wanted values. All keys that
            combine these values are included.
        limit: Choose at most this many keys; None takes all.
        seed: Chooses which.
    """

    keys: tuple[str, ...]
    among: tuple[tuple[str, tuple[str, ...]], ...] = ()
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class WantedRows:
    """The rows of a source to read.

    Attributes:
        config: The repo's configuration; relative paths start at its repo.
        source: A batch source.
        windows: Half-open windows of event time, merged; may be none.
        columns: Source columns besides the time columns; None is all.
        newest: The rows that suffice, for a warehouse that can choose; all rows are right too.
        snapshot: Where to read them, if the source is opened.
    """

    config: "RepoConfig"
    source: "DataSource"
    windows: "Sequence[Window]"
    columns: Sequence[str] | None
    newest: NewestRows | None = None
    snapshot: "Snapshot | None" = None


class Snapshot(Protocol):
    """A source at one moment, in a warehouse that can go on answering from it."""

    def sums(
        self,
        windows: "Sequence[Window]",
        columns: Sequence[str] | None,
        exclude: Collection[str | None],
    ) -> tuple[list[str], list[Sums]]:
        """Hash the rows of each window where they are stored.

        Args:
            windows: Half-open windows, overlapping or not.
            columns: The columns that count; None counts all.
            exclude: Columns that do not count.

        Returns:
            The columns counted, in alphabetical order, and one sum per window, in the order given.

        Raises:
            SourceError: The table or a column is missing, or the warehouse cannot be reached.
        """


class Warehouse(ABC):
    """A place where batch sources are stored, and everything that is special to it.

    Each has a folder in `feature_platform.sources` and a line in `sources.warehouses`; another
    package can add one through an entry point. Instances hold no state. The defaults suit a place
    that can only be read.
    """

    min_rest: ClassVar[timedelta | None] = None
    """The least time between two scans of a source for changes; None never delays a scan."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Modules of the client that `extra` installs."""
    extra: ClassVar[str] = ""
    """An extra of feature-platform; empty for a warehouse of another distribution."""
    is_read_in_place: ClassVar[bool] = False
    """Whether each query of DuckDB reads the rows anew where they are stored."""

    def examine(self, config: "RepoConfig") -> str:  # noqa: ARG002 - for subclasses
        """What ``feature-platform doctor`` says of it besides its addresses; raises if unusable."""
        return ""

    @abstractmethod
    def holds(self, source: "DataSource") -> bool:
        """Whether the source is stored here."""

    @abstractmethod
    def duckdb_rows(self, connection: "duckdb.DuckDBPyConnection", wanted: WantedRows) -> str:
        """Make the wanted rows readable in DuckDB.

        Returns:
            What a query on the connection can have after FROM; rows outside of the windows and
            other columns may be among it.

        Raises:
            SourceError: The table, a column, or a file of it is missing or unreadable.
        """

    @contextmanager
    def snapshot(
        self,
        config: "RepoConfig",
        source: "DataSource",
        windows: "Sequence[Window]",
        *,
        held: bool = True,
    ) -> "Iterator[Snapshot | None]":
        """Hold on to windows of a source as they are now; None where rows have to be copied.

        Args:
            config: The repo's configuration.
            source: A source that is stored here.
            windows: Merged half-open windows.
            held: Whether all answers must be of one moment; one answer needs no such.

        Raises:
            SourceError: The warehouse cannot be reached.
        """
        del config, source, windows, held
        yield None

    def rows_without_event_time(self, config: "RepoConfig", source: "DataSource") -> int | None:
        """Count the rows that are in no window; None if they can only be queried by time.

        Raises:
            SourceError: The table or its event time column is missing or unreadable.
        """
        del config, source
        return None

    def stamp(
        self, config: "RepoConfig", source: "DataSource", tables: Sequence[str] | None = None
    ) -> list[str] | None:
        """Cheap texts that stay the same until a source is written to.

        Args:
            config: The repo's configuration.
            source: A source that is stored here.
            tables: The tables that the source is computed from; None is its own table.

        Returns:
            None if only reading the source tells.

        Raises:
            SourceError: The warehouse cannot be reached.
        """
        del config, source, tables
        return None

    def sample_steps(self, windows: "list[Window]") -> "Iterator[list[Window]]":
        """The windows to read for a sample of keys, until one step has enough of them.

        Yields:
            Lists of windows; the last is `windows`.
        """
        yield windows
