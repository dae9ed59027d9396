"""Histories with fresh seeds over all online stores, for as long as it is told: ``make soak``.

The minutes are those of ``SOAK_MINUTES``, 60 if it is not set; ``SOAK_STORES`` names some of the
kinds in `ROUND`, if not all are to be played on. It ends at the first history that
fails, having looked for a shorter one that fails too; that one is printed, with what plays it
again, and stays in Hypothesis' database, from which every test of histories plays it first.
"""

# ruff: noqa: T201 - a program, which prints

import os
import random
import sys
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from worlds import local_servers
from worlds.histories.arenas import Arena, lately, one_duckdb
from worlds.histories.machine import play
from worlds.sample_repos import online_config

if TYPE_CHECKING:
    from collections.abc import Callable


ROUND = {
    "sqlite": 60,
    "guarded_sqlite": 60,
    "unknown_sqlite": 40,
    "redis": 40,
    "guarded_redis": 40,
    "redis_cluster": 15,
    "guarded_redis_cluster": 15,
    "postgres": 20,
    "guarded_postgres": 30,
    "unknown_postgres": 15,
    "dynamodb": 15,
}
"""Histories of each kind of online store, before it is the next one's turn."""


class Servers:
    """Starts what `online_config` asks for, once each; ends them with the block."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Any] = {}
        self._starts: dict[str, Callable[[], Any]] = {
            "redis_server": local_servers.redis_running,
            "redis_cluster": local_servers.cluster_running,
            "postgres_server": local_servers.postgres_running,
            "aws": local_servers.aws_running,
        }

    def getfixturevalue(self, name: str) -> Any:
        if name not in self._running:
            self._running[name] = self._stack.enter_context(self._starts[name]())
        return self._running[name]


def main() -> int:
    minutes = float(os.environ.get("SOAK_MINUTES", "60"))
    ends = time.monotonic() + minutes * 60
    played: Counter[str] = Counter()
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    with ExitStack() as stack:
        stack.enter_context(one_duckdb())
        servers = Servers(stack)
        arenas = {}
        for kind in os.environ.get("SOAK_STORES", " ".join(ROUND)).split():
            arenas[kind] = Arena(kind, online_config(kind, servers), lately())
            stack.callback(arenas[kind].close)
        while time.monotonic() < ends:
            for kind, arena in arenas.items():
                number = random.SystemRandom().randrange(2**32)
                try:
                    played[kind] += play(arena, ROUND[kind], number, shrink=True)
                except Exception:  # noqa: BLE001 - whatever a history fails with
                    traceback.print_exc()
                    print(f"FAILED on {kind}, seed {number}, after {played.total()} histories")
                    return 1
                left = max(0.0, ends - time.monotonic()) / 60
                print(
                    f"{played.total():>7} histories, {left:.1f} min left; seed {number} on {kind}",
                    flush=True,
                )
                if not left:
                    break
    for kind, count in played.items():
        print(f"{count:>7} on {kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
