"""``feature-platform training-set``: a service's features as of each entity row, kept for good."""

import json
from pathlib import Path

import click
from rich.console import Console

from feature_platform.errors import RepoError
from feature_platform.registry.registry_apply import apply, plan
from feature_platform.repo.project import FeastProject
from feature_platform.training.entity_rows import read_parquet
from feature_platform.training.leak_probe import ProbedView, probe_training_set
from feature_platform.training.saved_datasets import register
from feature_platform.training.training_set import TrainingSet, build_training_set


def run(
    *,
    service: str,
    entities: str,
    out: str,
    timestamp: str,
    label: str | None,
    repo: str,
    profile: str | None,
    start_date: str,
    as_json: bool,
) -> int:
    """Build it, probe it, and say what it holds; 0 if no row knows anything of its future."""
    del start_date  # an option that every command has; partitions mean nothing here
    project = FeastProject(repo, profile)
    rows = read_parquet(Path.cwd(), entities)
    store = project.store()
    _require_applied(project)
    with Console(stderr=True).status("") as status:

        def progress(text: str) -> None:
            status.update(text)

        if as_json:
            status.stop()
        made = build_training_set(
            project,
            service,
            rows,
            out,
            timestamp=timestamp,
            origin=Path(entities).name,
            label=label,
            progress=progress,
        )
        progress("probing")
        table = made.to_arrow()
        probed = probe_training_set(store, store.get_feature_service(service), table, timestamp)
        saved = register(store, made)
    if as_json:
        click.echo(json.dumps(_plain(made, probed, saved)))
    else:
        _print(made, probed, saved)
    return 0 if all(view.well for view in probed) else 1


def _require_applied(project: FeastProject) -> None:
    """A registry that says otherwise than the repo would make a set that nobody meant."""
    store = project.store()
    change = plan(store, project.contents)
    if change and not store.list_feature_services():
        apply(store, project.contents)  # a repo that nobody has applied yet
    elif change:
        raise RepoError(
            f"registry of project '{project.name}'",
            f"differs from the repo ({len(change.added) + len(change.updated)} objects)",
            "apply the repo first: materialize the registry asset, or run feast apply",
        )


def _print(made: TrainingSet, probed: list[ProbedView], saved: str | None) -> None:
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
            said = f", median age {age}" if age is not None else ""
            click.echo(
                f"  {view.view}: {view.rows} rows probed, none from the future"
                f" ({view.found} with a value{said})"
            )
        else:
            click.secho(
                f"  {view.view}: {view.leaks} of {view.rows} rows from the future, "
                f"{view.others} not what was newest",
                fg="red",
            )


def _plain(made: TrainingSet, probed: list[ProbedView], saved: str | None) -> dict[str, object]:
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
            }
            for view in probed
        ],
    }
