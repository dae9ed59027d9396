"""The metrics of a repo that may change while they are served."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client.core import Metric

from feature_platform.errors import reason_of
from feature_platform.orchestration.code_location import FeastCodeLocation
from feature_platform.orchestration.repairs.automated_project import repo_hash
from feature_platform.orchestration.status.platform_metrics import PlatformMetrics

_log = logging.getLogger(__name__)


@dataclass
class LiveMetrics:
    """Computes metrics again and again, of the repo as it is then.

    Else a view that was removed would be missed, and a new one not be told of, until somebody
    starts the process again.

    Attributes:
        location: The project and its settings, as they were read last.
        make: Its metrics.
    """

    location: FeastCodeLocation
    make: Callable[[FeastCodeLocation], PlatformMetrics]
    _metrics: PlatformMetrics = field(init=False)
    _read: str = field(init=False)

    def __post_init__(self) -> None:
        self._read = repo_hash(self.location.project)
        self._metrics = self.make(self.location)

    def collect(self) -> list[Metric]:
        """All metrics as of now; of the repo as it was before, while it cannot be read."""
        try:
            self._follow()
        except Exception as error:  # noqa: BLE001 - the repo's code may raise anything
            _log.warning(
                "the changed repo cannot be read, metrics are of it as it was: %s", reason_of(error)
            )
        return self._metrics.collect()

    def _follow(self) -> None:
        now = repo_hash(self.location.project)
        if now == self._read:
            return
        location = self.location.read_again()
        metrics = self.make(location)
        self.location, self._metrics, self._read = location, metrics, now
