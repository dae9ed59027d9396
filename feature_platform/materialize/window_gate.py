"""The gate of an online write: it judges opened windows, and only what it has judged is written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.repo.computability import why_transformed
from feature_platform.repo.project import sources_of
from feature_platform.sources.latest_rows import source_columns
from feature_platform.sources.opened_window import OpenedWindow, open_window

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

OpenedSources = Mapping[str, OpenedWindow]
"""The opened windows of each batch source that a view reads, by the source's name."""


class WindowGate:
    """Judges the windows that are about to be served; this one lets all of them pass.

    Subclasses override it. It is asked under the view's lock.
    """

    def needs(self, source: str, spans: Sequence[Window]) -> tuple[list[Window], list[str] | None]:
        """What it has to see of a source to judge `spans`: windows, and columns (None is all)."""
        del source
        return list(spans), []

    def require(self, opened: OpenedSources, span: Window) -> None:
        """Raise unless the opened rows of `span` may be served.

        Raises:
            GateError: They may not.
        """

    def servable(self, opened: OpenedSources, spans: Sequence[Window]) -> list[Window]:
        """The parts of `spans` whose opened rows may be served in place of vanished ones."""
        del opened
        return list(spans)


@contextmanager
def open_sources(
    config: "RepoConfig", layout: ViewLayout, gate: WindowGate, spans: Sequence[Window]
) -> Iterator[OpenedSources]:
    """Open all sources that a view reads, over some spans and what its gate needs to judge them.

    Args:
        config: The repo's configuration.
        layout: A view; its whole rows are opened if Feast computes it.
        gate: Of the view.
        spans: Half-open windows.

    Raises:
        SourceError: A source cannot be reached.
    """
    is_computed = bool(why_transformed(layout.view))
    with ExitStack() as stack:
        opened = {}
        for source in _sources(layout):
            windows, columns = gate.needs(source.name, spans)
            wanted: list[str] | None = None
            if columns is not None and not is_computed:
                wanted = list(dict.fromkeys([*source_columns(layout), *columns]))
            opened[source.name] = stack.enter_context(
                open_window(config, source, [*spans, *windows], wanted)
            )
        yield opened


def _sources(layout: ViewLayout) -> list[Any]:
    return sources_of(layout.view) if why_transformed(layout.view) else [layout.source]
