"""The log of the process that delivers: always there, and never out of order."""

import logging
from dataclasses import dataclass, field
from typing import ClassVar

from feature_platform.alerts.outbox import Delivery


@dataclass(frozen=True)
class LogChannel:
    """Writes each message as one record, an error or a warning as the incident is."""

    takes_many: ClassVar[bool] = True

    name: str
    logger: logging.Logger = field(
        default_factory=lambda: logging.getLogger("feature_platform.alerts")
    )

    def send(self, delivery: Delivery) -> None:
        """Log the delivery's messages; see `Channel`."""
        for message in delivery.messages:
            level = logging.ERROR if message.severity == "error" else logging.WARNING
            # As loud as the opening may be heard, so that its end is heard too.
            level = logging.WARNING if message.kind == "resolve" else level
            self.logger.log(level, "%s", message.text())
