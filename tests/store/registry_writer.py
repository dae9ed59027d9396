"""A process that records windows of views, for the tests of concurrency."""

import json
import sys
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "services"))

from sample_repos import SampleRepo

from feature_platform.store.materialize import materialize_window
from feature_platform.store.registry import record_window
from feature_platform.store.windows import Window


def main() -> None:
    asked = json.loads(sys.argv[1])
    repo = SampleRepo(
        Path(asked["folder"]),
        online=asked["online"],
        registry=asked["registry"],
        views=tuple(asked["views"]),
        keep=True,
    )
    store = repo.open()
    for view, start, end in asked["windows"]:
        window = Window(datetime.fromisoformat(start), datetime.fromisoformat(end))
        if asked["materialize"]:
            materialize_window(store, view, window.start, window.end)
        else:
            record_window(store, view, window)


if __name__ == "__main__":
    main()
