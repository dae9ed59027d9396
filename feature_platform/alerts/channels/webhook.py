"""Any HTTP server, with a signature by which it knows who called, and when."""

import hashlib
import hmac
import json
import time
import urllib.request
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from feature_platform.alerts.channels.base import (
    TIMEOUT,
    Channel,
    SecretAddress,
    answered,
    from_environment,
    web_address,
)
from feature_platform.alerts.outbox import Delivery
from feature_platform.core.config_files import invalid

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


class WebhookChannel(Channel):
    """Posts JSON: ``{"id", "kind", "messages": [...]}``, ``id`` being the idempotency key too."""

    type: Literal["webhook"]
    url: Annotated[SecretStr, BeforeValidator(web_address)] | None = None
    url_env: SecretAddress | None = None
    secret: Annotated[SecretStr, from_environment("a signing key")] = Field(alias="secret_env")

    @model_validator(mode="after")
    def _has_one_address(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise invalid(
                "needs one of 'url' and 'url_env'",
                "write url:, or url_env: where the address is a secret itself",
            )
        return self

    def send(self, delivery: Delivery) -> None:
        """Post the delivery; see `Channel`."""
        messages = [asdict(message) for message in delivery.messages]
        content = {"id": delivery.id, "kind": delivery.kind, "messages": messages}
        body = json.dumps(content).encode()
        address = self.url or self.url_env
        assert address is not None  # noqa: S101 - one is given
        timestamp = str(int(time.time()))
        request = urllib.request.Request(  # noqa: S310  https or loopback, see web_address
            address.get_secret_value(),
            data=body,
            method="POST",
            headers={
                "Content-Type": "application/json",
                IDEMPOTENCY: delivery.id,
                TIMESTAMP: timestamp,
                SIGNATURE: signature(self.secret.get_secret_value(), timestamp, body),
            },
        )
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                answered(response.status, dict(response.headers.items()))
        except urllib.error.HTTPError as error:
            with error:
                answered(error.code, dict(error.headers.items()))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed message goes where it was signed for, and nowhere else."""

    def redirect_request(self, *_args: Any) -> None:
        return None
