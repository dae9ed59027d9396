"""Texts that are new every day: alarms on days without a change, and two changes found.

Ids, ids of which each comes twice, ids of which half are known, a set that grows by two a day from
five hundred, a long-tailed set, and for comparison two hundred categories that stay. Each day is
compared with the eight weeks that ended a week before it, of the same weekday, as the drift assets
do; then 5% of its rows are given a value that was never there; then 30% of them, each row another.
"""

# ruff: noqa: PLR2004 - the numbers are the simulated world
import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from feature_platform.statistics import Reference, SeasonWindow, compare, profile
from feature_platform.statistics.seasons import WEEKDAYS

GAP, WEEKS = 7, 8
SIZES = np.random.default_rng(5).lognormal(size=4000)
Values = list[str]


def tokens(rows: int, random: np.random.Generator) -> Values:
    return [f"{each:016x}" for each in random.integers(2**62, size=rows)]


def ids(_: int, rows: int, random: np.random.Generator) -> Values:
    return tokens(rows, random)


def ids_twice(_: int, rows: int, random: np.random.Generator) -> Values:
    new = tokens(rows // 2, random)
    return [*new, *random.choice(new, rows - len(new))]


def ids_half_known(_: int, rows: int, random: np.random.Generator) -> Values:
    known = [f"user {n}" for n in random.integers(400, size=rows // 2)]
    return [*known, *tokens(rows - len(known), random)]


def growing(day: int, rows: int, random: np.random.Generator) -> Values:
    known = SIZES[: 500 + 2 * day]
    return [f"shop {n}" for n in random.choice(len(known), rows, p=known / known.sum())]


def long_tail(_: int, rows: int, random: np.random.Generator) -> Values:
    return [f"term {n}" for n in np.minimum(random.zipf(1.1, size=rows), 10**9)]


def two_hundred(_: int, rows: int, random: np.random.Generator) -> Values:
    shares = 1 / np.arange(1, 201) ** 1.1
    return [f"kind {n}" for n in random.choice(200, rows, p=shares / shares.sum())]


KINDS: tuple[Callable[[int, int, np.random.Generator], Values], ...] = (
    *(ids, ids_twice, ids_half_known, growing, long_tail, two_hundred),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rows, first = arguments.rows, GAP + 7 * WEEKS
    for kind in KINDS:
        random = np.random.default_rng([arguments.seed, rows])
        days = [kind(day, rows, random) for day in range(first + arguments.days)]
        profiles = [profile(pa.array(values)).compress() for values in days]
        alarms = found = many = 0
        seconds = 0.0
        for day in range(first, len(days)):
            before = [
                SeasonWindow(WEEKDAYS[each % 7], profiles[each])
                for each in range(day - first, day - GAP)
            ]
            season = WEEKDAYS[day % 7]
            started = time.perf_counter()
            reference = Reference.of_windows(before, kind.__name__)
            alarms += compare(reference, profiles[day], season=season).verdict == "drift"
            seconds += time.perf_counter() - started
            values = np.array(days[day], dtype=object)
            values[random.random(rows) < 0.05] = "never seen before"
            changed = compare(reference, pa.array(values), season=season)
            found += changed.verdict == "drift"
            values = np.array(days[day], dtype=object)
            rare = np.flatnonzero(random.random(rows) < 0.3)
            values[rare] = tokens(len(rare), random)
            many += compare(reference, pa.array(values), season=season).verdict == "drift"
        line = {"case": kind.__name__, "rows": rows, "days": arguments.days}
        each = round(seconds / arguments.days, 3)
        told = {"alarms": alarms, "found": found, "many_found": many, "seconds": each}
        print(json.dumps({**line, **told}), flush=True)


if __name__ == "__main__":
    main()
