"""Processes that record windows of views, for the tests of concurrency.

The one that is started imports everything and opens nothing; those that write are forked from it,
so that eight of them start at once, and as fast as one.
"""

import json
import os
import sys
import tempfile
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

from worlds.sample_repos import SampleRepo

from feature_platform.core.windows import Window
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.registry.windows_on_record import record_window


def main() -> int:
    asked = json.loads(sys.argv[1])
    children = [_forked(asked, windows) for windows in asked["processes"]]
    ends = [os.waitpid(child, 0)[1] for child in children]
    return int(any(ends))


def _forked(asked: dict[str, Any], windows: list[tuple[str, str, str]]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _write(asked, windows)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - said, and told by the exit code
        traceback.print_exc()
        os._exit(1)


def _write(asked: dict[str, Any], windows: list[tuple[str, str, str]]) -> None:
    if asked["apart"]:  # locks that are not beside the registry are in the temporary folder
        tempfile.tempdir = tempfile.mkdtemp(prefix="machine-", dir=asked["folder"])
    repo = SampleRepo(
        Path(asked["folder"]),
        online=asked["online"],
        registry=asked["registry"],
        views=tuple(asked["views"]),
        keep=True,
    )
    store = repo.open()
    for view, start, end in windows:
        window = Window(datetime.fromisoformat(start), datetime.fromisoformat(end))
        if asked["materialize"]:
            materialize_window(store, view, window.start, window.end)
        else:
            record_window(store, view, window)


if __name__ == "__main__":
    sys.exit(main())
