"""PagerDuty, through Events API v2."""

from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SecretStr

from feature_platform.alerts.channels.base import (
    TIMEOUT,
    Channel,
    ChannelError,
    WebAddress,
    answered,
    from_environment,
    silent_logger,
    web_address,
)
from feature_platform.alerts.messages.message import Message
from feature_platform.alerts.messages.plain_text import cut
from feature_platform.alerts.outbox import Delivery

# PagerDuty refuses longer summaries and dedup keys.
_MAX_SUMMARY = 1024
_MAX_KEY = 255
# So that an event keeps below the 512 KB that it takes, whatever JSON makes of its characters.
_MAX_DETAIL = 5000
_MAX_LINK = 2000
# Its client takes nothing else.
_HTTPS = BeforeValidator(partial(web_address, plain_here=False))


class PagerDutyChannel(Channel):
    """Triggers and resolves alerts of one service, by deployment, asset and check."""

    takes_many: ClassVar[bool] = False
    client: ClassVar[str] = "pagerduty"

    type: Literal["pagerduty"]
    routing_key: Annotated[SecretStr, from_environment("the integration key")] = Field(
        alias="routing_key_env"
    )
    url: Annotated[WebAddress, _HTTPS] | None = None

    def send(self, delivery: Delivery) -> None:
        """Send the delivery's event; see `Channel`."""
        import pagerduty

        key = self.routing_key.get_secret_value()
        with pagerduty.EventsApiV2Client(key, base_url=self.url) as client:
            # Trying again is the outbox's business; 429 has to be named, or it is tried for ever.
            client.retry = {429: 1}
            client.sleep_timer = 0
            client.max_network_attempts = 0
            client.timeout = int(TIMEOUT)
            client.log = silent_logger()
            try:
                # One, since groups are refused here; but a channel may have been another before.
                for message in delivery.messages:
                    # An older version made none, and its alerts end under the key they began with.
                    dedup_key = message.dedup_key or message.key[-_MAX_KEY:]
                    if message.kind == "resolve":
                        client.resolve(dedup_key)
                    else:
                        client.send_event("trigger", dedup_key, **_event(message))
            except pagerduty.HttpError as error:
                if error.response is not None:
                    answered(error.response.status_code, error.response.headers)
                raise ChannelError("answered, but not as PagerDuty does", outage=True) from None
            except pagerduty.Error:
                raise ChannelError("could not be reached", outage=True) from None


def _event(message: Message) -> dict[str, Any]:
    links = (
        (message.link, "Asset in Dagster"),
        (message.run, "Run in Dagster"),
        (message.runbook, "Runbook"),
    )
    return {
        "payload": {
            "summary": cut(f"{message.title}: {message.what}", _MAX_SUMMARY),
            "source": message.project,
            "component": message.asset,
            "severity": "error" if message.severity == "error" else "warning",
            "timestamp": message.since,
            "custom_details": {
                **{label.lower(): cut(text, _MAX_DETAIL) for label, text in message.lines()},
                "incident": message.incident,
            },
        },
        "links": [
            {"href": href, "text": text}
            for href, text in links
            if href and href.startswith("http") and len(href) <= _MAX_LINK
        ],
    }
