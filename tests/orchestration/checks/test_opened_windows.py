"""What was checked is what is served, while the source turns between any two reads of a step."""

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from google.auth.credentials import AnonymousCredentials
from worlds import turning_source as world
from worlds.stand_ins.bigquery_answers import answering
from worlds.turning_source import CUSTOMERS, DAYS, STORE, VIEWS, Turning

from feature_platform.errors import GateError, SourceError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.orchestration.checks.gate_runs import GateRun
from feature_platform.orchestration.checks.source_checks import SourceChecks
from feature_platform.orchestration.checks.source_gate import SourceGate
from feature_platform.orchestration.checks.view_gate import ViewGate
from feature_platform.sources import warehouses

if TYPE_CHECKING:
    from worlds.local_servers import PostgresServer
    from worlds.samples import Sample

MakeRepo = Callable[..., "Sample"]
FILE = 'FileSource(name="amounts", path="data/amounts.parquet", timestamp_field="ts")'
FOLDER = 'FileSource(name="amounts", path="data/amounts", timestamp_field="ts")'
POSTGRES = 'PostgreSQLSource(name="amounts", table="amounts", timestamp_field="ts")'
BIGQUERY = 'BigQuerySource(name="amounts", table="ml.amounts", timestamp_field="ts")'
DUCKDB = "{type: duckdb}"


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - it chooses test cases


class Scene:
    """A repo, its turning source, and runs on it that are told apart by what came of them."""

    def __init__(self, sample: "Sample", turning: Turning) -> None:
        self.sample, self.turning = sample, turning
        turning.turn()
        assert sample.run("registry").success
        self.store = sample.project.store()
        self.served = self.refused = 0

    def run(self, work: Callable[..., object], *arguments: Any) -> None:
        """Write through the gate of a run; the source may fail meanwhile."""
        sample = self.sample
        checks = SourceChecks(sample.graph.sources["amounts"], sample.key("sources/amounts"))
        log = logging.getLogger("quiet")
        run = GateRun(sample.instance, self.store, log=log)
        gate = ViewGate("amounts", [SourceGate("amounts", checks)], None, run)
        try:
            work(self.store, "amounts", *arguments, gate=gate)
            self.served += 1
        except GateError:
            self.refused += 1
        except SourceError:
            pass  # a file that is half written, or gone
        self.require_judged()

    def require_judged(self) -> None:
        rows = [{"customer": number} for number in CUSTOMERS]
        found = self.store.get_online_features(["amounts:amount"], rows).to_dict()["amount"]
        assert all(each is None or 1 <= each <= 9 for each in found), found

    def play(self, runs: int, dice: random.Random) -> None:
        """Materialize either day again and again, and rebuild now and then."""
        for _ in range(runs):
            day = dice.choice(DAYS)
            if dice.random() < 0.15:
                self.run(rebuild_online)
            else:
                self.run(materialize_window, day.start, day.end)
        assert self.served >= runs / 20, (self.served, self.refused)
        assert self.refused >= runs / 20, (self.served, self.refused)


def scene(make_repo: MakeRepo, source: str, offline: str, write: Any, seed: int) -> Scene:
    files = {
        "feature_store.yaml": STORE.format(offline=offline),
        "views.py": VIEWS.format(source=source),
    }
    sample = make_repo(files)
    (sample.repo / "data").mkdir(exist_ok=True)
    return Scene(sample, Turning(write(sample.repo / "data"), seeded(seed)))


@pytest.fixture
def engine(
    request: pytest.FixtureRequest, make_repo: MakeRepo, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    name = request.param
    with ExitStack() as stack:
        if name == "postgres":
            server: PostgresServer = request.getfixturevalue("postgres_server")
            database = server.new_database()
            connection = stack.enter_context(
                psycopg.connect(server.conninfo(database), autocommit=True)
            )
            offline = str(server.online(database) | {"type": "postgres"})
            made = scene(make_repo, POSTGRES, offline, lambda _: world.in_postgres(connection), 1)
        elif name == "bigquery":
            import google.auth

            answers = stack.enter_context(answering())
            monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{answers.port}")
            anonymous = AnonymousCredentials(), "cloud"
            monkeypatch.setattr(google.auth, "default", lambda **_: anonymous)
            offline = "{type: bigquery, project_id: cloud, dataset: ml}"
            made = scene(make_repo, BIGQUERY, offline, lambda _: world.in_bigquery(answers), 2)
        elif name == "folder":
            made = scene(
                make_repo, FOLDER, DUCKDB, lambda data: world.scattered(data / "amounts"), 3
            )
        else:
            if name == "pulled":
                monkeypatch.setattr(warehouses.FileWarehouse, "holds", lambda *_: False)
            made = scene(
                make_repo, FILE, DUCKDB, lambda data: world.replaced(data / "amounts.parquet"), 4
            )
        yield made


SERVER = pytest.mark.server
ENGINES = ["file", "folder", "pulled", pytest.param("postgres", marks=SERVER), "bigquery"]


@pytest.mark.parametrize("engine", ["file", "folder", "bigquery"], indirect=True)
def test_only_rows_whose_snapshot_was_judged_are_served(engine: Scene):
    with engine.turning.between_reads():
        engine.play(20, seeded(7))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_in_two_hundred_runs_no_row_is_served_unjudged(engine: Scene):
    with engine.turning.between_reads():
        engine.play(200, seeded(8))
    assert engine.turning.turns > 400


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "engine", ["file", "folder", pytest.param("postgres", marks=SERVER)], indirect=True
)
def test_a_source_that_turns_all_the_time_serves_no_row_unjudged(engine: Scene):
    over = threading.Event()

    def turn() -> None:
        while not over.wait(0.02):  # without a rest a reader would hardly find a whole file
            engine.turning.turn()

    turner = threading.Thread(target=turn)
    turner.start()
    try:
        engine.play(200, seeded(9))
    finally:
        over.set()
        turner.join()
