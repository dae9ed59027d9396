"""Durations as people write them in tags and config files."""

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_duration(text: object) -> timedelta | None:
    """``90s``, ``5m``, ``2h`` or ``1d``; None if it is written otherwise."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", str(text).strip())
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
