"""Fixtures that all folders share, and what is printed at the end.

Folders of tests mirror the packages of the product. `worlds` holds what tests are played in: repos,
tables, servers, processes.
"""

from typing import Any

pytest_plugins = [
    "worlds.local_servers",
    "worlds.stand_ins.alert_receiver",
    "worlds.alert_desk",
    "worlds.sample_repos",
    "worlds.samples",
    "worlds.automation.shop",
]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many histories of materializations were played, wherever the tests ran."""
    counts: dict[str, int] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            for name, value in report.user_properties:
                if "histories" in name:
                    counts[name] = counts.get(name, 0) + value
    if counts:
        terminalreporter.section("histories of materializations")
        for name in sorted(counts):
            terminalreporter.line(f"{counts[name]:>7} {name}")
        total = sum(n for name, n in counts.items() if name.startswith("histories on"))
        terminalreporter.line(f"{total:>7} histories in all")
