"""A scene for each drill, with somebody to page on loopback."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from worlds.automation.scene import Scene

if TYPE_CHECKING:
    from worlds.samples import Sample
    from worlds.stand_ins.alert_receiver import Receiver


# As the dagster.yaml that is shipped: `doctor` asks for it.
MONITORED = {"run_monitoring": {"enabled": True, "free_slots_after_run_end_seconds": 60}}


@pytest.fixture
def make_scene(
    make_repo: Callable[[Mapping[str, str]], "Sample"],
    receiver: "Receiver",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Scene]]:
    """A repo from the text of its files, in a Dagster home that the command line finds too."""
    monkeypatch.setenv("HOOK_KEY", "a-key-of-the-drills")
    home, routes = tmp_path / "home", tmp_path / "alerts.yaml"
    home.mkdir()
    routes.write_text(
        "channels:\n"
        f"  on-call: {{type: webhook, url: '{receiver.url}/hook', secret_env: HOOK_KEY}}\n"
        "routes:\n  - to: on-call\n"
    )
    with ExitStack() as stack:

        def make(files: Mapping[str, str], days: int, **more: Any) -> Scene:
            sample = make_repo(files)
            sample.instance = stack.enter_context(
                dg.instance_for_test(MONITORED, temp_dir=str(home))
            )
            scene = Scene(sample, receiver=receiver, routes=routes, **more)
            sample.start_date = scene.key(-days)
            monkeypatch.setenv("DAGSTER_HOME", str(home))
            monkeypatch.setenv("FEATURE_PLATFORM_REPO", str(sample.repo))
            monkeypatch.setenv("FEATURE_PLATFORM_START_DATE", sample.start_date)
            return scene

        yield make
