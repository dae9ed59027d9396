"""Processes that are killed while they materialize: `Killer` here, what it starts below."""

import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from worlds.places import environment


class Killer:
    """Starts processes that end by SIGKILL at a point of a materialization.

    They are forked from one that has imported everything and opened nothing, so that each costs
    milliseconds.

    Args:
        arena: Whose store they open, as processes of their own do.
    """

    def __init__(self, arena: Any) -> None:
        self._asked = {"online": arena.online, "folder": str(arena.folder)}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "worlds.histories.victim"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.kills = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def __call__(self, shape: Any, window: Any, point: int) -> bool:
        """Whether it was killed; else it came to its end before that point."""
        asked = self._asked | {
            "view": shape.name,
            "start": window.start.isoformat(),
            "end": window.end.isoformat(),
            "point": point,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        assert status in {0, -signal.SIGKILL}, f"it ended by itself, with {status}"
        self.kills += status != 0
        return status != 0


def _serve() -> None:
    # Imported once, for all that are forked.
    from worlds.histories import arenas, points  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if not child:
            _die(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - read by the other side


def _die(asked: dict[str, Any]) -> None:
    import traceback

    from worlds.histories.arenas import store_in
    from worlds.histories.points import disturbed

    from feature_platform.materialize.materialize_window import materialize_window

    try:
        store = store_in(Path(asked["folder"]), asked["online"])
        start, end = (datetime.fromisoformat(asked[name]) for name in ("start", "end"))
        with disturbed(asked["point"], lambda: os.kill(os.getpid(), signal.SIGKILL)):
            materialize_window(store, asked["view"], start, end)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the parent says that it did not end as asked
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    _serve()
