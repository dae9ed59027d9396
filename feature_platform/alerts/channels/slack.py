"""Slack, through an incoming webhook."""

import shlex
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
from feature_platform.alerts.messages.plain_text import length
from feature_platform.alerts.outbox import Delivery
from feature_platform.core.config_files import invalid

# Slack refuses a block whose text is empty or longer than 3000, counted as it is sent: escaped.
_MAX_BLOCK = 2900
_MAX_BLOCKS = 50
_MAX_TITLE = 600
_MAX_LINK = 500
_MAX_LISTED = 1000
_MALFORMED = 400
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
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
        text, blocks = _content(delivery)
        response = client.send(text=text, blocks=blocks, unfurl_links=False)
        if response.status_code == _MALFORMED:
            # Whatever Slack dislikes about the blocks, it would at every other attempt.
            lines = [f"{each.title}: {each.what}" for each in delivery.messages]
            response = client.send(text=_cut("\n".join(lines), _MAX_BLOCK), unfurl_links=False)
        answered(response.status_code, response.headers)


def _content(delivery: Delivery) -> tuple[str, list[dict[str, Any]]]:
    """The text that notifications show, and the blocks that the channel shows."""
    first, *others = delivery.messages
    if not others:
        return _cut(first.title, _MAX_TITLE), _blocks(first)
    state = "resolved" if delivery.kind == "resolve" else "alerts"
    text = _cut(f"{len(delivery.messages)} {state} in {first.project}", _MAX_TITLE)
    for details in (True, False):
        lines = [line for each in delivery.messages for line in _listed(each, details=details)]
        blocks = [_section(f"*{text}*"), *_sections(lines)]
        if len(blocks) <= _MAX_BLOCKS:
            break
    return text, blocks


def _blocks(message: Message) -> list[dict[str, Any]]:
    lines = []
    for label, text in message.lines():
        first, *more = _code(text) if label == "Repair" else _pieces(text)
        lines += [f"*{label}:* {first}", *more]
    title = f"{_emoji(message)} *{_cut(message.title, _MAX_TITLE)}*"
    blocks = [_section(title), *_sections(lines)]
    if len(blocks) > _MAX_BLOCKS:
        blocks[_MAX_BLOCKS - 1 :] = [_section("… and more than Slack has room for")]
    return blocks


def _listed(message: Message, *, details: bool) -> list[str]:
    """A message as one of many."""
    title = _cut(message.title, _MAX_TITLE)
    link = _escape(message.link or "")
    # Half a link leads nowhere.
    linked = f"<{link}|{title}>" if 0 < length(link) <= _MAX_LINK else title
    line = f"{_emoji(message)} {linked}"
    if message.kind == "resolve" or not details:
        return [line]
    what = _cut(" ".join(message.what.split())[:200], _MAX_LISTED)
    return [line, *(f"      {each}" for each in (what, *_code(message.command)))]


def _emoji(message: Message) -> str:
    return _DONE if message.kind == "resolve" else _EMOJI[message.severity]


def _code(command: str) -> list[str]:
    """A command, whole, in as many lines as it needs: half of it would do something else."""
    most = _MAX_BLOCK - 100
    if "`" in command:  # it would end the code
        return _pieces(command)
    lines = [""]
    for word in [command] if length(_escape(command)) <= most else _words(command):
        longer = f"{lines[-1]} {word}".strip()
        if length(_escape(longer)) > most and lines[-1]:
            lines[-1] += " \\"
            lines.append(word)
        else:
            lines[-1] = longer
    return [f"`{piece}`" for line in lines for piece in _pieces(line)]


def _words(command: str) -> list[str]:
    """The words of a shell command, each quoted as it has to be."""
    try:
        return [shlex.quote(word) for word in shlex.split(command)]
    except ValueError:
        return [command]


def _pieces(text: str) -> list[str]:
    """A text, escaped, in lines that fit a block; at least one."""
    return [part for line in text.splitlines() for part in _split(line, _MAX_BLOCK - 100)] or [""]


def _sections(lines: list[str]) -> list[dict[str, Any]]:
    """Lines in blocks that Slack takes, broken between lines."""
    found, part = [], ""
    for line in lines:
        if part and length(part) + length(line) + 1 > _MAX_BLOCK:
            found.append(part)
            part = ""
        part = f"{part}\n{line}" if part else line
    return [_section(text) for text in (*found, part) if text.strip()]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _cut(text: str, most: int) -> str:
    """A text on one line, escaped, that ends with an ellipsis if it would be longer than `most`."""
    line = " ".join(text.split())
    whole, *rest = _split(line, most)
    return f"{_split(line, most - 1)[0]}…" if rest else whole


def _split(line: str, most: int) -> list[str]:
    """A line, escaped, in parts of at most `most` characters; no entity is cut in two."""
    parts, size = [""], 0
    for char in line:
        escaped = _escape(char)
        size += length(escaped)
        if size > most:
            parts.append("")
            size = length(escaped)
        parts[-1] += escaped
    return parts


def _escape(text: str) -> str:
    return "".join(_ENTITIES.get(char, char) for char in text)
