"""The most frequent values of a stream, with a bound on the error of their counts.

Misra and Gries (1982), in the mergeable form of Agarwal et al., "Mergeable summaries" (2013).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

CAPACITY = 4096
"""Categories in one summary; a column with no more of them is counted exactly."""


@dataclass(frozen=True)
class Categories:
    """Counts by value, most frequent first.

    `undercount` is an upper bound on how much the count of any value, listed or not, is too low: 0
    while the counts are exact and complete, at most ``n / (CAPACITY + 1)``.
    """

    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    undercount: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int], undercount: int = 0) -> "Categories":
        """A summary of exact `counts`, trimmed to `CAPACITY`."""
        ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        if len(ordered) > CAPACITY:
            cut = ordered[CAPACITY][1]
            undercount += cut
            ordered = [(value, count - cut) for value, count in ordered if count > cut]
        return cls(MappingProxyType(dict(ordered)), undercount)

    @property
    def complete(self) -> bool:
        """Whether every value is listed."""
        return self.undercount == 0

    def merge(self, other: "Categories") -> "Categories":
        """The summary of both streams."""
        total = Counter(self.counts)
        total.update(other.counts)
        return Categories.of(total, self.undercount + other.undercount)

    def top(self, n: int) -> list[tuple[str, int]]:
        """The `n` most frequent values with their counts."""
        return list(self.counts.items())[:n]

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `from_json`."""
        return {"counts": dict(self.counts), "undercount": self.undercount}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Categories":
        """The inverse of `to_json`."""
        return cls(MappingProxyType(dict(data["counts"])), int(data["undercount"]))
