"""PagerDuty, through Events API v2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from feature_platform.alerts.channels.base import (
    TIMEOUT,
    ChannelError,
    Secret,
    answered,
    from_environment,
    silent_logger,
    web_address,
)
from feature_platform.alerts.messages.message import Message
from feature_platform.alerts.outbox import Delivery
from feature_platform.core.config_files import Node
from feature_platform.errors import MissingPackageError

# PagerDuty refuses longer summaries and dedup keys.
_MAX_SUMMARY = 1024
_MAX_KEY = 255


@dataclass(frozen=True)
class PagerDutyChannel:
    """Triggers and resolves alerts of one service; asset and check are the dedup key."""

    takes_many: ClassVar[bool] = False

    name: str
    routing_key: Secret
    url: str | None = None

    @classmethod
    def from_fields(
        cls, name: str, node: Node, environment: Mapping[str, str]
    ) -> "PagerDutyChannel":
        """The channel that a route file describes.

        Raises:
            AlertError: A field is wrong, or its secret is not there.
            MissingPackageError: The extra is not installed.
        """
        known = ("type", "routing_key_env", "url")
        fields = node.fields(known, required=("routing_key_env",))
        try:
            import pagerduty  # noqa: F401
        except ImportError as error:
            raise MissingPackageError(
                f"{node.file}:{node.line}: channel '{name}'",
                "is PagerDuty, and pagerduty is not installed",
                "pip install 'feature-platform[alerts]'",
            ) from error
        url = None
        if "url" in fields:
            # PagerDuty's client takes nothing else.
            url = web_address(fields["url"], fields["url"].text(), plain_here=False).rstrip("/")
        key = from_environment(fields["routing_key_env"], environment, "the integration key")
        return cls(name, key, url)

    def send(self, delivery: Delivery) -> None:
        """Send the delivery's event; see `Channel`."""
        import pagerduty

        with pagerduty.EventsApiV2Client(self.routing_key.value, base_url=self.url) as client:
            # Trying again is the outbox's business; 429 has to be named, or it is tried for ever.
            client.retry = {429: 1}
            client.sleep_timer = 0
            client.max_network_attempts = 0
            client.timeout = int(TIMEOUT)
            client.log = silent_logger()
            try:
                # One, since groups are refused here; but a channel may have been another before.
                for message in delivery.messages:
                    dedup_key = message.key[-_MAX_KEY:]
                    if message.kind == "resolve":
                        client.resolve(dedup_key)
                    else:
                        client.send_event("trigger", dedup_key, **_event(message))
            except pagerduty.HttpError as error:
                if error.response is not None:
                    retry_after = error.response.headers.get("retry-after")
                    answered(error.response.status_code, retry_after)
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
            "summary": f"{message.title}: {message.what}"[:_MAX_SUMMARY],
            "source": message.project,
            "component": message.asset,
            "severity": "error" if message.severity == "error" else "warning",
            "timestamp": message.since,
            "custom_details": {
                **{label.lower(): text for label, text in message.lines()},
                "incident": message.incident,
            },
        },
        "links": [
            {"href": href, "text": text} for href, text in links if href and href.startswith("http")
        ],
    }
