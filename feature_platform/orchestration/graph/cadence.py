"""How often the windows of a view come, and how old what it serves may therefore be."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise, takewhile

from dagster._utils.schedules import cron_string_iterator, is_valid_cron_schedule

from feature_platform.errors import RepoError
from feature_platform.repo.cadences import CADENCES
from feature_platform.repo.view_settings import ViewSettings

# Days with ticks that are looked at for the longest time between two: of a daily cron, four years.
_DAYS = 1500
_FIELDS = 5


def cron_of(settings: ViewSettings) -> str:
    """When a view's schedule ticks, UTC."""
    return " ".join((settings.cron or CADENCES[settings.partitions].cron).split())


def promise(settings: ViewSettings) -> timedelta:
    """How old what a view serves may be: its tag, else twice its cadence.

    Where a cron of the view's own runs more seldom, be it at night or on Sundays alone, the longest
    time between two of its ticks and the length of a partition. Dagster's freshness policy and the
    check ``fresh_by_event_time`` say the same, since both ask here; the one means the last
    materialization, the other the newest row.
    """
    if settings.freshness:
        return settings.freshness
    return max(2 * settings.length, _longest_wait(cron_of(settings)) + settings.length)


def require_cron(view: str, settings: ViewSettings) -> None:
    """Raise if the view's cron is none.

    Raises:
        RepoError: Names view, value and remedy.
    """
    cron = cron_of(settings)
    if not is_valid_cron_schedule(cron):
        raise RepoError(
            f"feature view '{view}'",
            f"tag 'dagster/cron' is '{cron}', which is not a cron expression",
            "use five fields, such as '0 6 * * *' (UTC)",
        )


@lru_cache(maxsize=256)
def _longest_wait(cron: str) -> timedelta:
    """The longest time between two ticks, which fall on the same times of each day that has any."""
    fields = cron.split()
    if len(fields) != _FIELDS:  # @daily and its like: as long between any two ticks, nearly
        return max(_waits(_ticks(cron, 60)))
    first = next(_ticks(cron))
    of_a_day = list(takewhile(lambda tick: tick.date() == first.date(), _ticks(cron)))
    days = list(_ticks(" ".join(["0", "0", *fields[2:]]), _DAYS))
    overnight = max(_waits(days)) - (of_a_day[-1] - of_a_day[0])
    return max([overnight, *_waits(of_a_day)])


def _ticks(cron: str, count: int | None = None) -> Iterator[datetime]:
    began = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=1)
    return islice(cron_string_iterator(began.timestamp(), cron, "UTC"), count)


def _waits(ticks: Iterable[datetime]) -> list[timedelta]:
    return [later - earlier for earlier, later in pairwise(ticks)]
