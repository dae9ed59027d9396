"""``feature-platform demo``: the fraud repo on real transactions, from raw tables to a vector."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from feature_platform.cli.chosen_views import choose_views
from feature_platform.cli.feast_command import feast_command
from feature_platform.cli.run_reports import print_reports
from feature_platform.cli.settings_place import SettingsPlace
from feature_platform.core.windows import Window
from feature_platform.errors import RepoError

if TYPE_CHECKING:
    from feature_platform.orchestration.graph.feast_graph import FeastGraph

SERVICE = "fraud_detection_v2"


@feast_command(
    "demo",
    click.option(
        "--days",
        default=30,
        type=click.IntRange(1, 3650),
        show_default=True,
        help="How many days to build.",
    ),
    click.option(
        "--scenario",
        type=click.Choice(["drift"]),
        help="drift: in a copy of the repo all amounts grow one day; shows which features alarm.",
    ),
    definitions=False,
)
def command(place: SettingsPlace, *, days: int, scenario: str | None, as_json: bool) -> int:
    """Build the last days of the fraud repo on real transactions and put them online."""
    from feature_platform.orchestration.code_location import FeastCodeLocation
    from feature_platform.orchestration.runs.instance import dagster_instance
    from feature_platform.orchestration.runs.run_views import run_views
    from feature_platform.repo.project import FeastProject

    project = FeastProject(place.repo, place.profile)
    if scenario == "drift":
        from feature_platform.cli.commands.demo_drift import play

        return play(project, as_json=as_json)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    window = Window(today - timedelta(days=days), today)
    if SERVICE not in project.services:
        raise RepoError(
            f"project '{project.name}'",
            f"has no feature service '{SERVICE}', which the demo reads",
            "run the demo on the repo it is made for, or use `feature-platform materialize`",
        )
    # In the first days of a year the demo begins before the default start date.
    start_date = min(place.start_date, window.start.date().isoformat())
    location = FeastCodeLocation(project, start_date)
    graph = location.graph
    if not as_json:
        click.echo(f"Building {window} of '{project.name}' and putting it online:", err=True)
    with dagster_instance() as instance:
        report = run_views(location, choose_views(graph, ()), window, instance, quiet=as_json)
    vector = _vector(graph) if report.succeeded else None
    if as_json:
        click.echo(json.dumps({"run": asdict(report), "vector": vector}, default=str))
    else:
        print_reports([report])
        if vector:
            _print_vector(vector)
            _print_next(place.repo)
    return 0 if report.well and vector else 1


def _vector(graph: "FeastGraph") -> dict[str, Any]:
    """The features of the busiest user and merchant of the newest day, as the store serves them."""
    from feature_platform.registry.windows_on_record import materialized_windows
    from feature_platform.sources.window_digests import read_window_table

    store = graph.project.store()
    row: dict[str, Any] = {}
    order: list[str] = []
    for name in choose_views(graph, ()):
        view = graph.project.view(name)
        end = materialized_windows(store, name)[-1].end
        newest = Window(end - timedelta(days=1), end)
        count = next(each.name for each in view.features if "Int" in str(each.dtype))
        table = read_window_table(store, view.batch_source, newest, [*view.join_keys, count])
        keys = [(key, "ascending") for key in view.join_keys]
        busiest = table.sort_by([(count, "descending"), *keys])
        row |= {key: busiest.column(key)[0].as_py() for key in view.join_keys}
        order += [each.name for each in view.features]
    answer = store.get_online_features(
        features=store.get_feature_service(SERVICE), entity_rows=[row]
    ).to_dict()
    return {name: answer[name][0] for name in [*row, *order]}


def _print_vector(vector: dict[str, Any]) -> None:
    entities = {key: value for key, value in vector.items() if key in ("user_id", "merchant_id")}
    click.secho("\nOnline features, as a model asks for them:", bold=True)
    click.echo(
        f"  store.get_online_features(\n"
        f'      features=store.get_feature_service("{SERVICE}"),\n'
        f"      entity_rows=[{entities}],\n"
        f"  ).to_dict()\n"
    )
    for name, value in vector.items():
        click.echo(f"  {name:<32} {value}")


def _print_next(repo: Path) -> None:
    click.secho("\nNext:", bold=True)
    click.echo(
        "  make dev                                  the same graph in the Dagster UI\n"
        "  .venv/bin/feature-platform status         what is online, what is missing\n"
        f"  {repo}/sql/                         the SQL that builds the source tables\n"
        "  your own repo: feature-platform materialize --repo PATH --start 2026-03-01 "
        "--end 2026-03-02"
    )
