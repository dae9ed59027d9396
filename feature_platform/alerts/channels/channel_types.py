"""The types of channels: a new one is a module beside this one and a name in `AnyChannel`."""

from typing import Annotated

from pydantic import Field

from feature_platform.alerts.channels.log import LogChannel
from feature_platform.alerts.channels.pagerduty import PagerDutyChannel
from feature_platform.alerts.channels.slack import SlackChannel
from feature_platform.alerts.channels.webhook import WebhookChannel

AnyChannel = Annotated[
    SlackChannel | PagerDutyChannel | WebhookChannel | LogChannel, Field(discriminator="type")
]
