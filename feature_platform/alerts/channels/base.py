"""What every channel is: something that takes a delivery, or says why not."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlsplit

from feature_platform.alerts.outbox import Delivery
from feature_platform.core.config_files import Node

TIMEOUT = 5.0
"""Seconds a channel waits for each answer of a server."""
DEADLINE = 10.0
"""Seconds a delivery may take in all, however slowly a server drips."""

# A shorter one would be guessed, and found in words that have nothing to do with it.
_SHORTEST = 8


class ChannelError(Exception):
    """A channel did not take a delivery.

    Attributes:
        reason: Why, in words that hold no secret.
        outage: Whether the channel takes nothing at all now, rather than just not this delivery.
        after: When it asked to be tried again.
    """

    def __init__(self, reason: str, *, outage: bool, after: timedelta | None = None) -> None:
        self.reason = reason
        self.outage = outage
        self.after = after
        super().__init__(reason)


class Channel(Protocol):
    """A way to tell people."""

    @property
    def name(self) -> str:
        """What rules call it."""

    @property
    def takes_many(self) -> bool:
        """Whether a delivery may hold several messages."""

    def send(self, delivery: Delivery) -> None:
        """Tell what is in a delivery.

        Raises:
            ChannelError: It was not taken, or it is not known whether it was.
        """


@dataclass(frozen=True)
class Secret:
    """A value that never shows: not in ``repr``, so not in an error or a log either."""

    value: str = field(repr=False)


def from_environment(node: Node, environment: Mapping[str, str], what: str) -> Secret:
    """The secret whose variable a field names.

    Args:
        node: The field.
        environment: Where secrets are.
        what: What the secret is, for the remedy.

    Raises:
        AlertError: The field is no name of a variable, or the variable is missing or too short.
    """
    name = node.text()
    if not name.isidentifier():
        # Not repeated in the error: somebody may have put the secret itself there.
        raise node.error(
            "is not the name of an environment variable",
            f"put {what} into the environment, and the variable's name here",
        )
    if not environment.get(name, "").strip():
        raise node.error(
            f"names {name}, which the environment does not have",
            f"set {name} to {what} wherever the code location is loaded",
        )
    value = environment[name].strip()
    if len(value) < _SHORTEST:
        raise node.error(
            f"names {name}, whose value has fewer than {_SHORTEST} characters",
            f"set {name} to {what}, whole",
        )
    return Secret(value)


def web_address(node: Node, address: str, *, secret: bool = False, plain_here: bool = True) -> str:
    """An address that may be sent to: https, or http on this machine.

    Args:
        node: The field that names it.
        address: The address.
        secret: Whether no error may repeat it.
        plain_here: Whether http is good enough on this machine.

    Raises:
        AlertError: It is another.
    """
    said = "holds an address that" if secret else f"is '{address}', which"
    try:
        parts = urlsplit(address)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise node.error(
            f"{said.removesuffix(', which')} is not an address" if secret else "is not an address",
            "write it as https://host/path",
        ) from None
    local = plain_here and host in ("localhost", "::1", "127.0.0.1")
    if not host or parts.scheme not in ("http", "https"):
        raise node.error(f"{said} is not an address", "write it as https://host/path")
    if parts.scheme == "http" and not local:
        remedy = "use https; http is for this machine alone" if plain_here else "use https"
        raise node.error(f"{said} is not encrypted", remedy)
    if parts.username or parts.password:
        raise node.error(
            "holds an address with credentials in it", "use a secret in the environment"
        )
    return address


def answered(status: int, retry_after: str | None = None) -> None:
    """Judge the status of an HTTP answer.

    Raises:
        ChannelError: It is not 2xx.
    """
    if 200 <= status < 300:  # noqa: PLR2004  the statuses of success
        return
    # A wrong address or key stays wrong for every message: as good as an outage.
    outage = status >= 500 or status in (401, 403, 404, 408, 410, 429) or status < 400  # noqa: PLR2004
    seconds = int(retry_after) if retry_after and retry_after.isdecimal() else None
    raise ChannelError(
        f"answered with status {status}",
        outage=outage,
        after=None if seconds is None else timedelta(seconds=min(seconds, 86400)),
    )


def in_time(send: Callable[[], None]) -> None:
    """Run `send`, but wait no longer than `DEADLINE`, whatever it is stuck at.

    Raises:
        ChannelError: From `send`; or it was not done in time, and may still succeed.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            send()
        except BaseException as error:  # noqa: BLE001  handed to the caller
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    if thread.is_alive():
        raise ChannelError(f"did not answer within {DEADLINE:g} s", outage=True)
    for error in raised:
        if isinstance(error, ChannelError):
            raise error
        # Only its type: clients put addresses, which are secrets, into their messages.
        raise ChannelError(f"failed with {type(error).__name__}", outage=True) from None


def silent_logger() -> logging.Logger:
    """A logger that nothing comes out of, for clients that log what they send."""
    logger = logging.Logger("silent", logging.CRITICAL + 1)  # noqa: LOG001  of one client alone
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
