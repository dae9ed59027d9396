"""Alarms on days without a change, and changes found: ours, the usual rule, Evidently, NannyML.

Fifty features, ten of each kind (normal, lognormal, zero-inflated, categorical, and normal with a
weekly season of half a standard deviation), compared day by day with a reference of the same
weekday. Every method gets the same weekday, so that none is blamed for the season itself.

Evidently and NannyML run with their defaults, each in an environment of its own, which is made with
pip on first use (``--others DIR``; ``--without-others`` leaves them out). A day is a false alarm if
any of the fifty features is flagged. A change is found if the changed feature is flagged; ours
counts only ``drift``, not ``warn``, and judges it among forty-nine features without a change.
"""

# ruff: noqa: PLR2004 - the numbers are the simulated world, each named where it is used
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("normal", "lognormal", "zero_inflated", "categorical", "weekly")
EACH = 10
CATEGORIES = np.array([f"category_{i}" for i in range(12)])
CATEGORY_SHARES = (1 / np.arange(1, 13) ** 1.2) / (1 / np.arange(1, 13) ** 1.2).sum()
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CHANGES = {
    "mean shift 0.25 sd": "normal",
    "scale 1.3x": "normal",
    "nulls 2% to 7%": "zero_inflated",
    "nulls 10% to 15%": "normal",
    "new category at 5%": "categorical",
    "lognormal location 0.25": "lognormal",
    "20% beyond the old range": "normal",
    "zeros 70% to 60%": "zero_inflated",
}
OTHERS = {
    "evidently": ("evidently==0.7.23", "pandas<3"),
    "nannyml": ("nannyml==0.13.1", "pandas<2.3", "statsmodels"),
}
DETECTION_ROWS = 2000


@dataclass(frozen=True)
class Plan:
    """How much is simulated at one number of rows a day."""

    rows: int
    weeks: int
    weekdays: int
    days: int
    other_days: int


PLANS = (
    # Three hundred days without an alarm bound the rate by one in a hundred.
    Plan(100, weeks=8, weekdays=7, days=300, other_days=10),
    Plan(1_000, weeks=8, weekdays=7, days=300, other_days=10),
    Plan(10_000, weeks=8, weekdays=7, days=100, other_days=3),
    Plan(1_000_000, weeks=2, weekdays=2, days=6, other_days=4),
)


def draw(kind: str, rows: int, weekday: int, random: np.random.Generator) -> np.ndarray:
    """One day of one feature; NaN is null."""
    if kind == "lognormal":
        return random.lognormal(size=rows)
    if kind == "zero_inflated":
        values = np.where(random.random(rows) < 0.7, 0.0, random.lognormal(size=rows))
        return np.where(random.random(rows) < 0.02, np.nan, values)
    if kind == "categorical":
        return CATEGORIES[random.choice(len(CATEGORIES), size=rows, p=CATEGORY_SHARES)]
    season = 0.5 * math.sin(2 * math.pi * weekday / 7) if kind == "weekly" else 0.0
    return random.normal(season, size=rows)


def changed(change: str, rows: int, random: np.random.Generator) -> tuple[str, np.ndarray]:
    """The kind of the feature that changes, and one changed day of it."""
    kind = CHANGES[change]
    values = draw(kind, rows, 0, random)
    if change.startswith("mean shift"):
        values += 0.25
    elif change.startswith("scale"):
        values *= 1.3
    elif change == "nulls 2% to 7%":
        values[random.random(rows) < 0.05 / 0.98] = np.nan
    elif change == "nulls 10% to 15%":
        values[random.random(rows) < 0.15] = np.nan
    elif change.startswith("new category"):
        values = values.astype("U20")
        values[random.random(rows) < 0.05] = "new"
    elif change.startswith("lognormal"):
        values *= math.exp(0.25)
    elif change.startswith("20%"):
        beyond = random.random(rows) < 0.2
        values[beyond] = 6 + random.exponential(size=int(beyond.sum()))
    elif change.startswith("zeros"):
        revived = (values == 0) & (random.random(rows) < 1 / 7)
        values[revived] = random.lognormal(size=int(revived.sum()))
    return kind, values


def unchanged(change: str, rows: int, random: np.random.Generator) -> np.ndarray:
    """A day of the same feature before the change."""
    values = draw(CHANGES[change], rows, 0, random)
    if change == "nulls 10% to 15%":
        values[random.random(rows) < 0.1] = np.nan
    return values


def features() -> Iterator[tuple[str, str]]:
    """The name and the kind of each of the fifty."""
    for kind in KINDS:
        for place in range(EACH):
            yield f"{kind}_{place}", kind


def day(
    plan: Plan, number: int, seed: int, names: list[str] | None = None
) -> dict[str, np.ndarray]:
    """One day of the features (None: all); the same numbers in every process that asks."""
    weekday = number % plan.weekdays
    return {
        name: draw(
            kind, plan.rows, weekday, np.random.default_rng([seed, plan.rows, number, place])
        )
        for place, (name, kind) in enumerate(features())
        if names is None or name in names
    }


# ----------------------------------------------------------------------------------------- ours


def our_references(plan: Plan, seed: int) -> dict[str, Any]:
    from feature_platform.statistics import Reference, SeasonWindow, profile

    windows: dict[str, list[SeasonWindow]] = {name: [] for name, _ in features()}
    for number in range(plan.weeks * plan.weekdays):
        for name, values in day(plan, number, seed).items():
            season = WEEKDAYS[number % plan.weekdays]
            windows[name].append(SeasonWindow(season, profile(arrow(values)).compress()))
    return {name: Reference.of_windows(each, name) for name, each in windows.items()}


def arrow(values: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.array(values, from_pandas=values.dtype.kind == "f")


def our_false_alarms(plan: Plan, seed: int) -> dict[str, Any]:
    from feature_platform.statistics import compare_many

    alarms = warned = 0
    seconds = 0.0
    references = our_references(plan, seed)
    for number in range(plan.days):
        # A few hundred days against one reference would share its luck: take a new one at times.
        if number and number % 50 == 0 and plan.rows <= 1000:
            references = our_references(plan, seed + number)
        currents = {
            n: arrow(v) for n, v in day(plan, 10_000 * plan.weekdays + number, seed).items()
        }
        season = WEEKDAYS[number % plan.weekdays]
        started = time.perf_counter()
        verdicts = [each.verdict for each in compare_many(references, currents, season=season)]
        seconds += time.perf_counter() - started
        alarms += "drift" in verdicts
        warned += "drift" in verdicts or "warn" in verdicts
    return {"alarms": alarms, "warned": warned, "days": plan.days, "seconds": seconds / plan.days}


def before(change: str, plan: Plan, random: np.random.Generator) -> Any:
    """The reference of a feature that is going to change."""
    from feature_platform.statistics import Reference, SeasonWindow, profile

    windows = [
        SeasonWindow(WEEKDAYS[number % 7], profile(arrow(unchanged(change, plan.rows, random))))
        for number in range(plan.weeks * 7)
    ]
    return Reference.of_windows(windows, change)


def our_detections(repetitions: int, seed: int) -> dict[str, Any]:
    from feature_platform.statistics import compare, compare_many, correct

    plan = Plan(DETECTION_ROWS, weeks=8, weekdays=7, days=0, other_days=0)
    references = our_references(plan, seed)
    random = np.random.default_rng([seed, 1])
    found = dict.fromkeys(CHANGES, 0)
    for repetition in range(repetitions):
        # One reference would lend its luck to all that is found with it.
        if repetition % 25 == 0:
            references |= {change: before(change, plan, random) for change in CHANGES}
        names = [name for name, _ in features()]
        today = day(plan, 10_000 * 7 + 7 * repetition, seed)
        calm = compare_many(
            {name: references[name] for name in names},
            {name: arrow(today[name]) for name in names},
            season="Monday",
        )
        for change in CHANGES:
            _, values = changed(change, plan.rows, random)
            one = compare(references[change], arrow(values), season="Monday")
            found[change] += correct([one, *calm[1:]])[0].verdict == "drift"
    return {"found": found, "repetitions": repetitions}


# --------------------------------------------------------------------------------- the usual rule


def usual_flags(reference: np.ndarray, current: np.ndarray) -> bool:
    """Ten equal-width bins of the reference, clip 0.001, PSI > 0.2 or KS p < 0.05."""
    from scipy import stats

    if reference.dtype.kind != "f":
        names = np.unique(reference)
        r = np.array([(reference == name).mean() for name in names])
        c = np.array([(current == name).mean() for name in names])
        return psi_clipped(r, c) > 0.2
    reference, current = reference[~np.isnan(reference)], current[~np.isnan(current)]
    r, edges = np.histogram(reference, 10)
    c, _ = np.histogram(current, edges)
    if psi_clipped(r / len(reference), c / len(current)) > 0.2:
        return True
    return bool(stats.ks_2samp(reference, current, method="asymp").pvalue < 0.05)


def psi_clipped(r: np.ndarray, c: np.ndarray) -> float:
    r, c = np.maximum(r, 0.001), np.maximum(c, 0.001)
    return float(np.sum((c - r) * np.log(c / r)))


# --------------------------------------------------------------------------- Evidently and NannyML


def evidently_flags(reference: Any, current: Any) -> set[str]:
    """Columns that Evidently's DataDriftPreset calls drifted."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    found = set()
    for metric in Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]:
        config = metric["config"]
        if not config["type"].endswith("ValueDrift"):
            continue
        value, threshold = float(metric["value"]), config["threshold"]
        is_p_value = "p_value" in config["method"]
        if value < threshold if is_p_value else value >= threshold:
            found.add(config["column"])
    return found


def nannyml_flags(reference: Any, current: Any) -> set[str]:
    """Columns that NannyML's univariate drift calculator alerts on; chunks are days."""
    import nannyml

    names = list(current.columns)
    calculator = nannyml.UnivariateDriftCalculator(column_names=names, chunk_size=len(current))
    calculator.fit(reference)
    table = calculator.calculate(current).filter(period="analysis").to_df()
    alerts = [each for each in table.columns if each[-1] == "alert"]
    return {each[0] for each in alerts if bool(table[each].iloc[0])}


def usual_frame_flags(reference: Any, current: Any) -> set[str]:
    return {
        name
        for name in current.columns
        if usual_flags(reference[name].to_numpy(), current[name].to_numpy())
    }


def frame(columns: dict[str, np.ndarray]) -> Any:
    import pandas as pd

    return pd.DataFrame(
        {n: v.astype(object) if v.dtype.kind == "U" else v for n, v in columns.items()}
    )


def same_weekday(plan: Plan, weekday: int, seed: int, names: list[str]) -> Any:
    """The reference's rows of one weekday, at most a million of them."""
    weeks = min(plan.weeks, max(1, 1_000_000 // plan.rows))
    days = [day(plan, week * plan.weekdays + weekday, seed, names) for week in range(weeks)]
    return frame({name: np.concatenate([each[name] for each in days]) for name in names})


def judge_others(
    method: str, plans: tuple[Plan, ...], repetitions: int, seed: int
) -> dict[str, Any]:
    """False alarms and detections of a rule that takes two data frames."""
    flags = {
        "usual": usual_frame_flags,
        "evidently": evidently_flags,
        "nannyml": nannyml_flags,
    }[method]
    warnings.filterwarnings("ignore")
    result: dict[str, Any] = {"alarms": {}}
    everything = [name for name, _ in features()]
    for plan in plans:
        # Every column is judged alone; a million rows of all fifty would not fit into memory.
        size = EACH if plan.rows >= 1_000_000 else len(everything)
        groups = [everything[at : at + size] for at in range(0, len(everything), size)]
        alarmed, seconds = [False] * plan.other_days, 0.0
        for names in groups:
            for weekday in range(min(plan.weekdays, plan.other_days)):
                reference = same_weekday(plan, weekday, seed, names)
                for number in range(weekday, plan.other_days, plan.weekdays):
                    current = frame(day(plan, 10_000 * plan.weekdays + number, seed, names))
                    started = time.perf_counter()
                    alarmed[number] |= bool(flags(reference, current))
                    seconds += time.perf_counter() - started
        alarms = sum(alarmed)
        result["alarms"][str(plan.rows)] = {
            "alarms": alarms,
            "days": plan.other_days,
            "seconds": seconds / plan.other_days,
        }
    random = np.random.default_rng([seed, 1])
    names = list(CHANGES)
    reference = frame({c: unchanged(c, 8 * DETECTION_ROWS, random) for c in names})
    found = dict.fromkeys(names, 0)
    for _ in range(repetitions):
        current = frame({c: changed(c, DETECTION_ROWS, random)[1] for c in names})
        for change in flags(reference, current):
            found[change] += 1
    result["found"], result["repetitions"] = found, repetitions
    return result


def run_other(method: str, arguments: argparse.Namespace, repetitions: int) -> dict[str, Any]:
    """The method's results from a process of its own; ``error`` where it cannot be had."""
    python: Path | str = sys.executable
    if method in OTHERS:
        home = Path(arguments.others) / method
        python = home / "bin" / "python"
        if not (home / "installed").exists():
            commands = [
                [sys.executable, "-m", "venv", str(home)],
                [str(python), "-m", "pip", "install", "--quiet", *OTHERS[method]],
            ]
            for command in commands:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    return {"error": done.stderr.strip().splitlines()[-1]}
            (home / "installed").touch()
    command = [str(python), __file__, "--worker", method, "--repetitions", str(repetitions)]
    # A million rows of fifty features are minutes a day for some.
    most = arguments.max_rows if arguments.full else min(arguments.max_rows, 10_000)
    command += ["--seed", str(arguments.seed), "--max-rows", str(most)]
    command += ["--min-rows", str(arguments.min_rows)]
    silent = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | silent
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


# ----------------------------------------------------------------------------------------- output


def share(hits: int, of: int) -> str:
    """A share and its standard error, in percent; with no hit or all, the 95 % bound instead."""
    if hits in (0, of):
        bound = 100 * (1 - 0.05 ** (1 / of))
        return f"{100 * hits / of:.0f}% (+{bound:.1f})" if not hits else f"100% (-{bound:.1f})"
    p = hits / of
    return f"{100 * p:.1f}% ±{100 * math.sqrt(p * (1 - p) / of):.1f}"


def table(title: str, rows: dict[str, dict[str, str]], methods: list[str]) -> None:
    print(f"\n{title}", file=sys.stderr)
    print(f"{'':28}" + "".join(f"{m:>20}" for m in methods), file=sys.stderr)
    for name, cells in rows.items():
        print(f"{name:28}" + "".join(f"{cells.get(m, '-'):>20}" for m in methods), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=float, default=1.0, help="times the days of ours")
    parser.add_argument("--repetitions", type=int, default=200, help="changed days of each change")
    parser.add_argument("--min-rows", type=int, default=100)
    parser.add_argument("--max-rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--others", default=str(Path(tempfile.gettempdir()) / "drift-others"))
    parser.add_argument("--without-others", action="store_true")
    parser.add_argument("--full", action="store_true", help="the others at a million rows too")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    plans = tuple(p for p in PLANS if arguments.min_rows <= p.rows <= arguments.max_rows)
    if arguments.worker:
        print(
            json.dumps(judge_others(arguments.worker, plans, arguments.repetitions, arguments.seed))
        )
        return
    methods = ["ours", "usual"] + ([] if arguments.without_others else list(OTHERS))
    results: dict[str, dict[str, Any]] = {"ours": {"alarms": {}}}
    for plan in plans:
        scaled = Plan(plan.rows, plan.weeks, plan.weekdays, round(plan.days * arguments.days), 0)
        results["ours"]["alarms"][str(plan.rows)] = our_false_alarms(scaled, arguments.seed)
    results["ours"] |= our_detections(arguments.repetitions, arguments.seed)
    for method in methods[1:]:
        results[method] = run_other(method, arguments, max(20, arguments.repetitions // 10))
    for method in methods:
        if "error" in results[method]:
            print(json.dumps({"case": method, "not_run": results[method]["error"]}))
    report(results, methods, plans)


def report(results: dict[str, dict[str, Any]], methods: list[str], plans: tuple[Plan, ...]) -> None:
    """One JSON line a case on stdout, and the two tables on stderr."""
    alarm_rows: dict[str, dict[str, str]] = {}
    for plan in plans:
        cells = {}
        for method in methods:
            seen = results[method].get("alarms", {}).get(str(plan.rows))
            if seen:
                cells[method] = share(seen["alarms"], seen["days"])
                line = {"case": f"days with an alarm, n={plan.rows:,}", "method": method, **seen}
                print(json.dumps(line))
        alarm_rows[f"n={plan.rows:,}"] = cells
    found_rows = {
        change: {
            m: share(results[m]["found"][change], results[m]["repetitions"])
            for m in methods
            if "found" in results[m]
        }
        for change in CHANGES
    }
    for change in CHANGES:
        for method in methods:
            if "found" in results[method]:
                hits, of = results[method]["found"][change], results[method]["repetitions"]
                print(json.dumps({"case": change, "method": method, "found": hits, "of": of}))
    table("Days with any alarm, 50 features without a change", alarm_rows, methods)
    table(f"Changes found, n={DETECTION_ROWS:,}", found_rows, methods)


if __name__ == "__main__":
    main()
