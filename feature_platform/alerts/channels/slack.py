"""Slack, through an incoming webhook."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from feature_platform.alerts.channels.base import (
    TIMEOUT,
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

# Slack refuses longer texts in a block.
_MAX_BLOCK = 2900
_EMOJI = {"error": ":red_circle:", "warn": ":large_yellow_circle:"}
_DONE = ":large_green_circle:"


@dataclass(frozen=True)
class SlackChannel:
    """Posts to one Slack channel.

    A webhook knows no idempotency key: where an answer got lost, the message may stand there twice.
    """

    takes_many: ClassVar[bool] = True

    name: str
    url: Secret

    @classmethod
    def from_fields(cls, name: str, node: Node, environment: Mapping[str, str]) -> "SlackChannel":
        """The channel that a route file describes.

        Raises:
            AlertError: A field is wrong, or its secret is not there.
            MissingPackageError: The extra is not installed.
        """
        if "url" in node.mapping():
            raise node.mapping()["url"].error(
                "is written into the file, but a webhook's address is a secret",
                "put it into the environment, and write url_env: with the variable's name",
            )
        fields = node.fields(("type", "url_env"), required=("url_env",))
        try:
            import slack_sdk.webhook  # noqa: F401
        except ImportError as error:
            raise MissingPackageError(
                f"{node.file}:{node.line}: channel '{name}'",
                "is Slack, and slack-sdk is not installed",
                "pip install 'feature-platform[alerts]'",
            ) from error
        url = from_environment(fields["url_env"], environment, "the webhook's address")
        web_address(fields["url_env"], url.value, secret=True)
        return cls(name, url)

    def send(self, delivery: Delivery) -> None:
        """Post the delivery as one message; see `Channel`."""
        from slack_sdk.webhook import WebhookClient

        # Its logger would print the address; and trying again is the outbox's business.
        client = WebhookClient(
            self.url.value, timeout=int(TIMEOUT), logger=silent_logger(), retry_handlers=[]
        )
        messages = delivery.messages
        if len(messages) == 1:
            text, blocks = messages[0].title, _blocks(messages[0])
        else:
            state = "resolved" if delivery.kind == "resolve" else "alerts"
            text = f"{len(messages)} {state} in {messages[0].project}"
            listed = "\n".join(_line(message) for message in messages)
            blocks = [_section(f"*{_escape(text)}*"), *_sections(listed)]
        response = client.send(text=text, blocks=blocks, unfurl_links=False)
        headers = {name.lower(): value for name, value in dict(response.headers).items()}
        answered(response.status_code, headers.get("retry-after"))


def _blocks(message: Message) -> list[dict[str, Any]]:
    emoji = _DONE if message.kind == "resolve" else _EMOJI[message.severity]
    lines = [
        f"*{label}:* `{text}`" if label == "Repair" else f"*{label}:* {_escape(text)}"
        for label, text in message.lines()
    ]
    return [_section(f"{emoji} *{_escape(message.title)}*"), *_sections("\n".join(lines))]


def _line(message: Message) -> str:
    emoji = _DONE if message.kind == "resolve" else _EMOJI[message.severity]
    title = _escape(message.title)
    linked = f"<{message.link}|{title}>" if message.link else title
    if message.kind == "resolve":
        return f"{emoji} {linked}"
    return f"{emoji} {linked}\n      {_escape(message.what[:200])}\n      `{message.command}`"


def _sections(text: str) -> list[dict[str, Any]]:
    """The text in blocks that Slack takes, broken between lines."""
    found, part = [], ""
    for line in text.split("\n"):
        short = line[:_MAX_BLOCK]
        if len(part) + len(short) + 1 > _MAX_BLOCK:
            found.append(_section(part))
            part = ""
        part = f"{part}\n{short}" if part else short
    # Slack takes fifty blocks in all.
    return [*found, _section(part)][:45]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
