"""The fewest runs for windows that need one, as pure functions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from feature_platform.core.windows import Window
from feature_platform.orchestration.watch.automation_settings import Cause


@dataclass(frozen=True)
class Repair:
    """One run that repairs windows.

    Attributes:
        cause: Name of the cause.
        first: First partition key.
        last: Last partition key, included.
        windows: How many partitions.
        span: From the start of the first partition to the end of the last.
        views: Feature views to materialize; may be empty.
        sources: Sources to materialize, besides those that a run of the views materializes.
        token: What the windows are to hold afterwards; a run is started once for each token.
        definition: The signature of the changed definition, if that is the cause.
        last_attempt: When one of its windows was last attempted, seconds since 1970; 0 for never.
    """

    cause: Cause
    first: str
    last: str
    windows: int
    span: Window
    views: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    token: str = ""
    definition: str = ""
    last_attempt: int = 0


def ranges(
    windows: Mapping[str, Window], wanted: Iterable[str], most: int
) -> list[tuple[str, str, int, Window]]:
    """The fewest ranges of adjacent partitions that hold the `wanted` ones and no others.

    Args:
        windows: Partition key to window, oldest first.
        wanted: Keys of some of them.
        most: Partitions per range; a longer one is cut from its newest end.

    Returns:
        First key, last key, count and span of each, newest first.
    """
    chosen = set(wanted)
    runs: list[list[str]] = []
    before: Window | None = None
    for key, window in windows.items():
        if key not in chosen:
            continue
        if runs and before is not None and before.end == window.start:
            runs[-1].append(key)
        else:
            runs.append([key])
        before = window
    found = []
    for keys in reversed(runs):
        for end in range(len(keys), 0, -most):
            part = keys[max(0, end - most) : end]
            span = Window(windows[part[0]].start, windows[part[-1]].end)
            found.append((part[0], part[-1], len(part), span))
    return found


def together(repairs: Sequence[Repair], most: int) -> list[Repair]:
    """Join repairs of the same range into runs of at most `most` views.

    The longest ago attempted come first, and of those the newest range; otherwise windows that
    change at every tick would keep others waiting for ever.
    """
    grouped: dict[tuple[object, ...], list[Repair]] = defaultdict(list)
    for each in repairs:
        grouped[each.cause, each.first, each.last].append(each)
    found: list[Repair] = []
    for members in grouped.values():
        for start in range(0, len(members), most):
            part = members[start : start + most]
            found.append(
                replace(
                    part[0],
                    views=tuple(sorted({name for each in part for name in each.views})),
                    sources=tuple(sorted({name for each in part for name in each.sources})),
                    last_attempt=max(each.last_attempt for each in part),
                    token="+".join(sorted({each.token for each in part})),
                )
            )
    found.sort(key=lambda each: (each.span.end, each.span.start), reverse=True)
    return sorted(found, key=lambda each: each.last_attempt)
