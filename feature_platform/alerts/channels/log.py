"""The log of the process that delivers, which always works."""

import logging
from typing import Literal

from feature_platform.alerts.channels.base import Channel
from feature_platform.alerts.outbox import Delivery


class LogChannel(Channel):
    """Writes each message as one record to the logger ``feature_platform.alerts``."""

    type: Literal["log"] = "log"

    def send(self, delivery: Delivery) -> None:
        """Log the delivery's messages; see `Channel`."""
        logger = logging.getLogger("feature_platform.alerts")
        for message in delivery.messages:
            # The end is as loud as a warning, so that it is heard where the opening was.
            error = message.severity == "error" and message.kind == "open"
            logger.log(logging.ERROR if error else logging.WARNING, "%s", message.text())
