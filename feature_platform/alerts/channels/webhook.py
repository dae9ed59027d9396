"""Any HTTP server, with a signature by which it knows who called, and when."""

import hashlib
import hmac
import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from feature_platform.alerts.channels.base import (
    TIMEOUT,
    Secret,
    answered,
    from_environment,
    web_address,
)
from feature_platform.alerts.outbox import Delivery
from feature_platform.core.config_files import Node

TIMESTAMP = "X-Feature-Platform-Timestamp"
SIGNATURE = "X-Feature-Platform-Signature"
IDEMPOTENCY = "Idempotency-Key"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """``v1=`` and the HMAC-SHA256, in hexadecimal, of ``<timestamp>.<body>``.

    A receiver computes it again, compares it in constant time, and refuses timestamps (seconds
    since 1970) that are more than a few minutes off: what was overheard cannot be played again.
    """
    signed = timestamp.encode() + b"." + body
    return f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


@dataclass(frozen=True)
class WebhookChannel:
    """Posts JSON: ``{"id", "kind", "messages": [...]}``, ``id`` being the idempotency key too."""

    takes_many: ClassVar[bool] = True

    name: str
    url: Secret
    secret: Secret

    @classmethod
    def from_fields(cls, name: str, node: Node, environment: Mapping[str, str]) -> "WebhookChannel":
        """The channel that a route file describes.

        Raises:
            AlertError: A field is wrong, or its secret is not there.
        """
        known = ("type", "url", "url_env", "secret_env")
        fields = node.fields(known, required=("secret_env",))
        if ("url" in fields) == ("url_env" in fields):
            raise node.error(
                "needs one of 'url' and 'url_env'",
                "write url:, or url_env: where the address is a secret itself",
            )
        if "url" in fields:
            url = Secret(web_address(fields["url"], fields["url"].text()))
        else:
            url = from_environment(fields["url_env"], environment, "the webhook's address")
            web_address(fields["url_env"], url.value, secret=True)
        return cls(name, url, from_environment(fields["secret_env"], environment, "a signing key"))

    def send(self, delivery: Delivery) -> None:
        """Post the delivery; see `Channel`."""
        said: dict[str, Any] = {
            "id": delivery.id,
            "kind": delivery.kind,
            "messages": [asdict(message) for message in delivery.messages],
        }
        body = json.dumps(said).encode()
        timestamp = str(int(time.time()))
        request = urllib.request.Request(  # noqa: S310  https or loopback, see web_address
            self.url.value,
            data=body,
            method="POST",
            headers={
                "Content-Type": "application/json",
                IDEMPOTENCY: delivery.id,
                TIMESTAMP: timestamp,
                SIGNATURE: signature(self.secret.value, timestamp, body),
            },
        )
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                answered(response.status, response.headers.get("Retry-After"))
        except urllib.error.HTTPError as error:
            with error:
                answered(error.code, error.headers.get("Retry-After"))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed message goes where it was signed for, and nowhere else."""

    def redirect_request(self, *_args: Any) -> None:
        return None
