"""Durations as people write them in tags and config files."""

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_duration(text: object) -> timedelta | None:
    """``90s``, ``5m``, ``2h`` or ``1d``; None if it is written otherwise."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", str(text).strip())
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None


def in_words(span: timedelta) -> str:
    """``36 h`` or ``90 d``: in days from three of them on, if they are whole."""
    hours = span / timedelta(hours=1)
    if hours >= 72 and hours % 24 == 0:  # noqa: PLR2004 - up to three days people count hours
        return f"{hours / 24:.0f} d"
    return f"{hours:.1f}".removesuffix(".0") + " h"
