"""The base of channels: fields in the route file, and `send`."""

import importlib
import logging
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo, model_validator

from feature_platform.alerts.outbox import LONGEST_ASKED, Delivery
from feature_platform.core.config_files import ConfigModel, invalid, read_text
from feature_platform.core.times import in_utc
from feature_platform.errors import MissingPackageError

TIMEOUT = 5.0
"""Seconds a channel waits for each answer of a server."""
DEADLINE = 10.0
"""Seconds a delivery may take in all, however slowly a server answers."""

# A shorter one would be guessed, and found in words that have nothing to do with it.
_SHORTEST = 8


class ChannelError(Exception):
    """A channel did not take a delivery.

    Attributes:
        reason: Why, without secrets.
        outage: Whether the channel takes nothing at all now, rather than just not this delivery.
        after: When it asked to be tried again.
    """

    def __init__(self, reason: str, *, outage: bool, after: timedelta | None = None) -> None:
        self.reason = reason
        self.outage = outage
        self.after = after
        super().__init__(reason)


class Channel(ConfigModel, ABC):
    """A channel as the route file describes it; its fields are those of the file.

    A subclass gives `type` its one value, and is listed in `channel_types`.

    Attributes:
        takes_many: Whether a delivery may hold several messages.
        client: The module of a client from the extra ``alerts``, if it needs one.
        type: The type of channel.
    """

    takes_many: ClassVar[bool] = True
    client: ClassVar[str | None] = None

    type: str

    @model_validator(mode="after")
    def _has_its_client(self) -> Self:
        try:
            if self.client:
                importlib.import_module(self.client)
        except ImportError as error:
            raise MissingPackageError(
                f"alert channel of type '{self.type}'",
                f"needs {self.client}, which is not installed",
                "pip install 'feature-platform[alerts]'",
            ) from error
        return self

    @abstractmethod
    def send(self, delivery: Delivery) -> None:
        """Send a delivery.

        Raises:
            ChannelError: It was not taken, or it is not known whether it was.
        """


def _read_variable(name: Any, info: ValidationInfo, what: str, shortest: int) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        # Not repeated in the error: somebody may have put the secret itself there.
        raise invalid(
            "is not the name of an environment variable",
            f"put {what} into the environment, and the variable's name here",
        )
    environment: Mapping[str, str] = info.context or {}
    value = environment.get(name, "").strip()
    if not value:
        raise invalid(
            f"names {name}, which the environment does not have",
            f"set {name} to {what} wherever the code location is loaded",
        )
    if len(value) < shortest:
        raise invalid(
            f"names {name}, whose value has fewer than {shortest} characters",
            f"set {name} to {what}, whole",
        )
    return value


def from_environment(what: str, *, shortest: int = _SHORTEST) -> BeforeValidator:
    """Read a field, the name of an environment variable, as its value: `what`, in remedies."""
    return BeforeValidator(partial(_read_variable, what=what, shortest=shortest))


def web_address(address: Any, *, secret: bool = False, plain_here: bool = True) -> str:
    """Check an address: https, or with `plain_here` http on this machine.

    Raises:
        PydanticCustomError: It is another; without the address if it is `secret`.
    """
    url = read_text(address)
    shown = "holds an address that" if secret else f"is '{url}', which"
    wrong = invalid(f"{shown} is not an address", "write it as https://host/path")
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise wrong from None
    if parts.username or parts.password:
        raise invalid("holds an address with credentials in it", "use a secret in the environment")
    if not host or parts.scheme not in ("http", "https"):
        raise wrong
    if parts.scheme == "http" and not (plain_here and host in ("localhost", "::1", "127.0.0.1")):
        remedy = "use https; http is for this machine alone" if plain_here else "use https"
        raise invalid(f"{shown} is not encrypted", remedy)
    return url


WebAddress = Annotated[
    str, BeforeValidator(web_address), AfterValidator(lambda address: address.rstrip("/"))
]
"""An address that is no secret, without a slash at its end."""
SecretAddress = Annotated[
    SecretStr,
    BeforeValidator(partial(web_address, secret=True)),
    from_environment("the webhook's address"),  # runs first
]
"""An address in the environment."""


def answered(status: int, headers: Mapping[str, str]) -> None:
    """Judge an HTTP answer.

    Args:
        status: Its status.
        headers: Its headers, in any case.

    Raises:
        ChannelError: It is not 2xx.
    """
    if 200 <= status < 300:  # noqa: PLR2004  the statuses of success
        return
    # A wrong address or key stays wrong for every message: as good as an outage.
    outage = status >= 500 or status in (401, 403, 404, 408, 410, 429) or status < 400  # noqa: PLR2004
    raise ChannelError(f"answered with status {status}", outage=outage, after=_asked(headers))


def _asked(headers: Mapping[str, str]) -> timedelta | None:
    """How long a server asked to be left alone: in seconds, or up to a date of its own clock."""
    found = {name.lower(): str(value).strip() for name, value in headers.items()}
    asked = found.get("retry-after", "")
    if re.fullmatch(r"[0-9]{1,12}", asked):
        return min(timedelta(seconds=int(asked)), LONGEST_ASKED)
    until = _http_date(asked)
    if until is None:
        return None
    wait = until - (_http_date(found.get("date", "")) or datetime.now(UTC))
    return min(max(wait, timedelta()), LONGEST_ASKED)


def _http_date(text: str) -> datetime | None:
    try:
        return in_utc(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError):
        return None


def in_time(send: Callable[[], None]) -> None:
    """Run `send`, but wait no longer than `DEADLINE` for it.

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
    """A logger that writes nothing, for clients that log what they send."""
    logger = logging.Logger("silent", logging.CRITICAL + 1)  # noqa: LOG001  of one client alone
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
