"""Half-open windows of time, and sets of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from feature_platform.errors import WindowError


@dataclass(frozen=True, order=True)
class Window:
    """The half-open interval ``[start, end)`` of event time; both ends aware, converted to UTC.

    Raises:
        WindowError: An end is naive, or the end is not after the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if value.tzinfo is None or value.utcoffset() is None:
                raise WindowError(
                    f"window {self.start} to {self.end}",
                    f"its {name} has no time zone",
                    "give an aware datetime, for example 2026-03-01T00:00:00+00:00",
                )
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))
        if self.end <= self.start:
            raise WindowError(
                f"window {self}",
                "its end is not after its start",
                "swap them, or choose a later end (windows are half-open)",
            )

    def __str__(self) -> str:
        return f"{_short(self.start)}..{_short(self.end)}"

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def overlaps(self, other: "Window") -> bool:
        """Whether the two share a moment; windows that only touch do not."""
        return self.start < other.end and other.start < self.end

    def intersection(self, other: "Window") -> "Window | None":
        """The part that the two share; None if there is none."""
        if not self.overlaps(other):
            return None
        return Window(max(self.start, other.start), min(self.end, other.end))


def merge(windows: Iterable[Window]) -> list[Window]:
    """The same moments in the fewest windows, in order; touching windows are joined."""
    merged: list[Window] = []
    for window in sorted(windows):
        if merged and window.start <= merged[-1].end:
            if window.end > merged[-1].end:
                merged[-1] = Window(merged[-1].start, window.end)
        else:
            merged.append(window)
    return merged


def missing(wanted: Iterable[Window], present: Iterable[Window]) -> list[Window]:
    """The parts of `wanted` that no window of `present` covers, merged and in order."""
    have = merge(present)
    gaps: list[Window] = []
    for window in merge(wanted):
        start = window.start
        for covered in have:
            if covered.end <= start or covered.start >= window.end:
                continue
            if covered.start > start:
                gaps.append(Window(start, covered.start))
            start = max(start, covered.end)
        if start < window.end:
            gaps.append(Window(start, window.end))
    return gaps


def covers(present: Sequence[Window], window: Window) -> bool:
    """Whether every moment of `window` is in `present`."""
    # A cheap test first: most views have one range of windows online, and there may be 500 views.
    if any(each.start <= window.start and window.end <= each.end for each in present):
        return True
    return not missing([window], present)


def _short(moment: datetime) -> str:
    if moment == moment.replace(hour=0, minute=0, second=0, microsecond=0):
        return moment.strftime("%Y-%m-%d")
    return moment.isoformat(timespec="auto").replace("+00:00", "Z")
