"""Text from outside, made fit to be shown and sent: without control characters, and cut to size."""

import re

# What terminals and parsers act on, what turns the direction of text, and halves of characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def clean(text: str) -> str:
    """The text with a replacement character for each character that is none of text.

    Tabs and line feeds stay.
    """
    return _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n"))


def length(text: str) -> int:
    """The length of a text in UTF-16 units, in which services count their limits, or in less."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, most: int) -> str:
    """The text; if it is longer than `most`, its beginning and an ellipsis."""
    if length(text) <= most:
        return text
    head = text.encode("utf-16-le", "surrogatepass")[: 2 * (most - 1)]
    return head.decode("utf-16-le", "ignore") + "…"
