"""The training set of a service as the reference of a view."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from feature_platform.drift.drift_settings import TrainingSetReference
from feature_platform.drift.references import ViewReference
from feature_platform.drift.view_state import ViewState
from feature_platform.errors import SourceError, StatisticsError, first_line
from feature_platform.statistics import Reference, profile_batches
from feature_platform.training.snapshots import DATA, file_hash, latest_snapshot


def training_reference(state: ViewState, kind: TrainingSetReference) -> ViewReference:
    """The newest training set of a service; frozen for each of its versions.

    Raises:
        SourceError: A file exists and cannot be read.
    """
    name = f"training {kind.service}"
    files = _files(state, kind)
    if not files:
        problem = (
            f"service '{kind.service}' has no training set in "
            f"'{kind.path or state.settings.training_sets_dir}'; build one: feature-platform "
            f"training-set --service {kind.service}, or materialize its asset"
        )
        return ViewReference(name, problems=dict.fromkeys(state.columns, problem))
    origin = ",".join(sorted(file_hash(path)[:16] for path in files))
    known = state.references.current(name)
    if known is not None and known.origin == origin:
        return known
    label = f"training set of {kind.service}"
    features: dict[str, Reference] = {}
    problems: dict[str, str] = {}
    with _one_line_errors(files):
        data = ds.dataset(files)
    for feature in state.columns:
        # If two views have a feature of one name, the view's name is in front.
        names = (f"{state.view}__{feature}", feature)
        column = next((each for each in names if each in data.schema.names), None)
        if column is None:
            problems[feature] = f"the training set of '{kind.service}' has no such column"
            continue
        with _one_line_errors(files):
            batches = [each for each in data.to_batches(columns=[column]) if each.num_rows]
        try:
            found = profile_batches(batches, [column])[column]
        except (StatisticsError, KeyError) as error:
            problems[feature] = error.problem if isinstance(error, StatisticsError) else "is empty"
            continue
        if found.kind == "timestamp":
            problems[feature] = "a training set has no end to measure its times from"
            continue
        features[feature] = Reference.of(
            found.compress(), feature, source="training_set", label=label
        )
    reference = ViewReference(label, features, problems, name, origin)
    state.references.set(reference)
    return reference


def _files(state: ViewState, kind: TrainingSetReference) -> list[Path]:
    if kind.path is not None:
        path = state.project.repo_dir / kind.path
        if path.is_dir():
            return sorted(path.glob("**/*.parquet"))
        return [path] if path.is_file() else []
    root = state.project.repo_dir / state.settings.training_sets_dir / kind.service
    whole = latest_snapshot(root)
    if whole is not None:
        return [whole.data]
    # Of a partitioned training set, the newest version of every partition.
    found = [latest_snapshot(folder) for folder in sorted(root.glob("*")) if folder.is_dir()]
    return [each.data for each in found if each is not None and (each.folder / DATA).is_file()]


@contextmanager
def _one_line_errors(files: list[Path]) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"training set '{files[0]}'",
            f"cannot be read ({first_line(error)})",
            "build it again: the same inputs give the same set",
        ) from error
