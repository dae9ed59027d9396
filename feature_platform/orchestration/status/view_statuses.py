"""The status of several views, each by itself: one that cannot be told keeps no other from it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import dagster as dg

from feature_platform.errors import reason_of
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.status.window_status import ViewStatus, view_status
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.registry.windows_on_record import registered_views

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewStatuses:
    """Tells the status of a project's views: to `status`, `plan` and the metrics alike.

    Attributes:
        graph: The project.
        instance: Where its runs are recorded.
        translator: The one that the definitions were built with.
        settings: They say when a window is due.
    """

    graph: FeastGraph
    instance: dg.DagsterInstance
    translator: DagsterFeastTranslator = field(default_factory=DagsterFeastTranslator)
    settings: AutomationSettings = field(default_factory=AutomationSettings)

    def of(self, counts: Mapping[str, int], now: datetime) -> list[ViewStatus]:
        """The status of each view that `counts` names, with so many of its windows.

        Raises:
            RegistryError: The registry cannot be reached.
        """
        registered = registered_views(self.graph.project.store())
        return [
            told(
                name,
                lambda: view_status(
                    self.graph.materializable[name],  # noqa: B023 - called at once
                    registered.get(name),  # noqa: B023
                    self.instance,
                    now=now,
                    count=count,  # noqa: B023
                    translator=self.translator,
                    settings=self.settings,
                ),
            )
            for name, count in counts.items()
        ]


def told(view: str, status: Callable[[], ViewStatus]) -> ViewStatus:
    """The status; of a view that fails, that it cannot be told, and why."""
    try:
        return status()
    except Exception as error:  # noqa: BLE001 - one view's trouble is not another's
        _log.warning("the status of feature view '%s' cannot be told", view, exc_info=True)
        return ViewStatus.unknown(view, reason_of(error))
