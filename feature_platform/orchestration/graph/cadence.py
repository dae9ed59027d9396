"""A view's schedule, and the maximum age of what it serves."""

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
    """The cron of a view's schedule, in UTC."""
    return " ".join((settings.cron or CADENCES[settings.partitions].cron).split())


def promise(settings: ViewSettings) -> timedelta:
    """Maximum age of what a view serves: its tag, else twice its cadence.

    If its own cron ticks less often, such as on Sundays, the longest time between two ticks plus
    the length of a partition. Dagster's freshness policy applies it to the last materialization,
    the check of freshness by event time to the newest row.
    """
    if settings.freshness:
        return settings.freshness
    return max(2 * settings.length, _longest_wait(cron_of(settings)) + settings.length)


def require_cron(view: str, settings: ViewSettings) -> None:
    """Raise a RepoError if the cron expression is invalid."""
    cron = cron_of(settings)
    if not is_valid_cron_schedule(cron):
        raise RepoError(
            f"feature view '{view}'",
            f"tag 'dagster/cron' is '{cron}', which is not a cron expression",
            "use five fields, such as '0 6 * * *' (UTC)",
        )


@lru_cache(maxsize=256)
def _longest_wait(cron: str) -> timedelta:
    """The longest time between two ticks; each day with ticks has them at the same times."""
    fields = cron.split()
    if len(fields) != _FIELDS:  # @daily and the like: at nearly equal distances
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
