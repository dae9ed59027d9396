"""Windows that are not online although their schedule has come past them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from feature_platform.core.windows import Window, covers
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.due_windows import due_windows
from feature_platform.registry.windows_on_record import windows_of

MISSING = "missing"


def gaps(
    graph: FeastGraph,
    registered: Mapping[str, Any],
    settings: AutomationSettings,
    now: datetime,
) -> dict[str, dict[str, str]]:
    """View to partition key to `MISSING`; views without a gap are there too.

    Args:
        graph: The repo's graph.
        registered: Feast's views by name, from the registry.
        settings: How far back, and how late a window may be.
        now: The moment.
    """
    found: dict[str, dict[str, str]] = {}
    for name, view in graph.materializable.items():
        known = registered.get(name)
        online = windows_of(known) if known is not None else []
        if not online and settings.definition_changed:
            found[name] = {}  # a new view: it is applied first, then materialized as a whole
            continue
        due = due_windows(view, now, grace=settings.grace, lookback=settings.lookback)
        found[name] = {key: MISSING for key, each in due.items() if not _online(online, each)}
    return found


def _online(online: list[Window], window: Window) -> bool:
    # A quick look first: a view without gaps has one window, and 500 views have many windows.
    if any(each.start <= window.start and window.end <= each.end for each in online):
        return True
    return covers(online, window)
