"""Slack, through an incoming webhook."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from feature_platform.alerts.channels.base import (
    TIMEOUT,
    Channel,
    SecretAddress,
    answered,
    silent_logger,
)
from feature_platform.alerts.messages.message import Message
from feature_platform.alerts.outbox import Delivery
from feature_platform.core.config_files import invalid

# Slack refuses longer texts in a block.
_MAX_BLOCK = 2900
_EMOJI = {"error": ":red_circle:", "warn": ":large_yellow_circle:"}
_DONE = ":large_green_circle:"


class SlackChannel(Channel):
    """Posts to one Slack channel through an incoming webhook.

    A webhook knows no idempotency key: if an answer is lost, the message may be posted twice.
    """

    client: ClassVar[str] = "slack_sdk.webhook"

    type: Literal["slack"]
    url: SecretAddress = Field(alias="url_env")

    @model_validator(mode="before")
    @classmethod
    def _refuse_the_address_itself(cls, written: Any) -> Any:
        if isinstance(written, dict) and "url" in written:
            raise invalid(
                "is written into the file, but a webhook's address is a secret",
                "put it into the environment, and write url_env: with the variable's name",
                "url",
            )
        return written

    def send(self, delivery: Delivery) -> None:
        """Post the delivery as one message; see `Channel`."""
        from slack_sdk.webhook import WebhookClient

        # Its logger would print the address; and trying again is the outbox's business.
        client = WebhookClient(
            self.url.get_secret_value(),
            timeout=int(TIMEOUT),
            logger=silent_logger(),
            retry_handlers=[],
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
