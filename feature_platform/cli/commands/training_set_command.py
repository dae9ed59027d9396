"""``feature-platform training-set``: a service's features as of each entity row, kept for good."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from feature_platform.cli.feast_command import feast_command
from feature_platform.cli.settings_place import SettingsPlace
from feature_platform.errors import RepoError

if TYPE_CHECKING:
    import pyarrow as pa

    from feature_platform.orchestration.code_location import FeastCodeLocation
    from feature_platform.repo.project import FeastProject
    from feature_platform.training.entity_rows import KnownBy
    from feature_platform.training.leak_probe import ProbedView
    from feature_platform.training.training_set import TrainingSet


@feast_command(
    "training-set",
    click.option("--service", required=True, help="Feature service."),
    click.option(
        "--entities",
        help="Entity rows: a Parquet file, a folder or a pattern of them. Without it those of the "
        "service's training set in your definitions or in training_sets/.",
    ),
    click.option(
        "--out", help="Folder that snapshots are kept in; that of your definitions if left out."
    ),
    click.option("--timestamp", help="Time column of --entities.  [default: event_timestamp]"),
    click.option("--label", help="Column of --entities that is learned; noted in the manifest."),
    click.option(
        "--known-by",
        type=click.Choice(["event", "created"]),
        help="Whether a source's row of --entities counts from its event time, or once it was "
        "written, by its created time.  [default: event, with a warning]",
    ),
)
def command(
    place: SettingsPlace,
    *,
    service: str,
    entities: str | None,
    out: str | None,
    timestamp: str | None,
    label: str | None,
    known_by: "KnownBy | None",
    as_json: bool,
) -> int:
    """Join a service's features to entity rows, point in time correct, as a versioned snapshot."""
    from rich.console import Console

    from feature_platform.training.leak_probe import probe_training_set
    from feature_platform.training.saved_datasets import register
    from feature_platform.training.training_set import build_training_set

    location = place.load()
    project = location.project
    examples = (
        _examples_of_file(entities, timestamp, label, known_by)
        if entities
        else _examples_of_definitions(location, service, (timestamp, label, known_by))
    )
    store = project.store()
    _require_applied(project)
    with Console(stderr=True, quiet=as_json).status("") as status:
        made = build_training_set(
            project,
            service,
            examples.rows,
            out or project.repo_dir / location.training_sets_dir,
            timestamp=examples.timestamp,
            origin=examples.origin,
            label=examples.label,
            known_by=examples.known_by,
            progress=status.update,
        )
        status.update("probing")
        probed = probe_training_set(
            store,
            store.get_feature_service(service),
            made.to_arrow(),
            examples.timestamp,
            known_by=examples.known_by,
        )
        saved = register(store, made)
    if as_json:
        click.echo(json.dumps(_plain(made, probed, saved)))
    else:
        _print(made, probed, saved)
    return 0 if all(view.well for view in probed) else 1


@dataclass(frozen=True)
class _Examples:
    """Entity rows, with their time and label columns.

    Attributes:
        rows: The table.
        origin: What the manifest and errors call it.
        timestamp: Column with the time as of which the features are wanted.
        label: Column that is learned; None if there is none.
        known_by: Which time of a source's row says when it was known; None if nobody said.
    """

    rows: "pa.Table"
    origin: str
    timestamp: str = "event_timestamp"
    label: str | None = None
    known_by: "KnownBy | None" = None


def _examples_of_file(
    path: str, timestamp: str | None, label: str | None, known_by: "KnownBy | None"
) -> _Examples:
    from feature_platform.training.entity_rows import read_parquet

    rows = read_parquet(Path.cwd(), path)
    name = Path(path).name
    return _Examples(rows, name, timestamp or _Examples.timestamp, label, known_by)


def _examples_of_definitions(
    location: "FeastCodeLocation", service: str, given: Sequence[str | None]
) -> _Examples:
    from feature_platform.training.entity_rows import read_entity_rows

    subject = f"training set of '{service}'"
    if any(each is not None for each in given):
        raise RepoError(
            subject,
            "--timestamp, --label and --known-by are for --entities",
            "add --entities, or leave them out",
        )
    found = location.all_training_sets.get(service)
    if found is None:
        raise RepoError(
            subject,
            "neither the definitions nor training_sets/ say where its entity rows come from",
            "add --entities",
        )
    if found.partitions is not None:
        raise RepoError(
            subject,
            f"is made in {found.partitions} windows",
            "materialize its asset, or add --entities for one snapshot",
        )
    rows = read_entity_rows(location.project, found)
    return _Examples(rows, found.origin, found.timestamp, found.label, found.known_by)


def _require_applied(project: "FeastProject") -> None:
    """Fail if the registry differs from the repo; apply a repo that was never applied."""
    from feature_platform.registry.registry_apply import apply, plan

    store = project.store()
    change = plan(store, project.contents)
    if change and not store.list_feature_services():
        apply(store, project.contents)
    elif change:
        raise RepoError(
            f"registry of project '{project.name}'",
            f"differs from the repo ({len(change.added) + len(change.updated)} objects)",
            "apply the repo first: materialize the registry asset, or run feast apply",
        )


def _print(made: "TrainingSet", probed: "list[ProbedView]", saved: str | None) -> None:
    click.echo(f"{made.service}: {made.rows} rows, version {made.version}")
    click.echo(f"  {made.snapshot.data}")
    if made.previous == made.version:
        click.echo("  the same as the version before")
    for change in made.changes:
        click.echo(f"  since {made.previous}: {change}")
    if saved:
        click.echo(f"  in Feast: store.get_saved_dataset('{saved}')")
    features = made.snapshot.manifest["features"]
    width = max((len(name) for name in features), default=0)
    click.echo("")
    for name, facts in features.items():
        click.echo(
            f"  {name:<{width}}  {facts['type']:<10} {facts['null_rate']:6.1%} null "
            f"{facts['default_rate']:6.1%} default"
        )
    click.echo("")
    for view in probed:
        if view.well:
            age = view.ages.get(0.5)
            median = f", median age {age}" if age is not None else ""
            click.echo(
                f"  {view.view}: {view.rows} rows probed, none from the future"
                f" ({view.found} with a value{median})"
            )
            if view.known_later:
                click.echo(
                    f"  {view.view}: {view.known_later} of {view.rows} rows hold what was written "
                    "after their time (--known-by created leaves it out)"
                )
        else:
            click.secho(
                f"  {view.view}: {view.leaks} of {view.rows} rows from the future, "
                f"{view.others} not what was newest",
                fg="red",
            )


def _plain(made: "TrainingSet", probed: "list[ProbedView]", saved: str | None) -> dict[str, object]:
    return {
        "service": made.service,
        "version": made.version,
        "previous": made.previous,
        "rows": made.rows,
        "data": str(made.snapshot.data),
        "saved_dataset": saved,
        "changes": list(made.changes),
        "probe": [
            {
                "view": view.view,
                "rows": view.rows,
                "found": view.found,
                "leaks": view.leaks,
                "others": view.others,
                "known_later": view.known_later,
            }
            for view in probed
        ],
    }
