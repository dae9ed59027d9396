"""The training set of a service as the reference of a view."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds

from feature_platform.drift.references import ViewReference
from feature_platform.errors import SourceError, StatisticsError, first_line
from feature_platform.statistics import Reference, profile_batches
from feature_platform.training.snapshots import DATA, file_hash, latest_snapshot

if TYPE_CHECKING:
    from feature_platform.drift.drift_judge import DriftJudge
    from feature_platform.drift.drift_settings import TrainingSet


def training_reference(judge: "DriftJudge", kind: "TrainingSet") -> ViewReference:
    """What the service was last trained on; frozen for each version of its training set.

    Raises:
        SourceError: A file is there and cannot be read.
    """
    name = f"training {kind.service}"
    data = _files(judge, kind)
    if not data:
        said = (
            f"service '{kind.service}' has no training set in "
            f"'{kind.path or judge.settings.training_sets_dir}'; build one: feature-platform "
            f"training-set --service {kind.service}, or materialize its asset"
        )
        return ViewReference(name, problems=dict.fromkeys(judge.columns, said))
    origin = ",".join(sorted(file_hash(path)[:16] for path in data))
    known = judge.references.current(name)
    if known is not None and known.origin == origin:
        return known
    label = f"training set of {kind.service}"
    columns = _columns(judge, data)
    features: dict[str, Reference] = {}
    problems: dict[str, str] = {}
    for feature in judge.columns:
        column = columns.get(feature)
        if column is None:
            problems[feature] = f"the training set of '{kind.service}' has no such column"
            continue
        try:
            found = profile_batches(_batches(data, column), [column])[column]
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
    judge.references.set(reference)
    return reference


def _files(judge: "DriftJudge", kind: "TrainingSet") -> list[Path]:
    if kind.path is not None:
        path = judge.project.repo_dir / kind.path
        if path.is_dir():
            return sorted(path.glob("**/*.parquet"))
        return [path] if path.is_file() else []
    root = judge.project.repo_dir / judge.settings.training_sets_dir / kind.service
    whole = latest_snapshot(root)
    if whole is not None:
        return [whole.data]
    # Of a partitioned set, what every window holds now.
    found = [latest_snapshot(folder) for folder in sorted(root.glob("*")) if folder.is_dir()]
    return [each.data for each in found if each is not None and (each.folder / DATA).is_file()]


def _columns(judge: "DriftJudge", data: list[Path]) -> dict[str, str]:
    """Feature to column: where two views have a feature of one name, the view's is in front."""
    with _one_line_errors(data):
        names = set(ds.dataset(data).schema.names)
    found = {}
    for feature in judge.columns:
        for column in (f"{judge.view}__{feature}", feature):
            if column in names:
                found[feature] = column
                break
    return found


def _batches(data: list[Path], column: str) -> "list[pa.RecordBatch]":
    with _one_line_errors(data):
        return [each for each in ds.dataset(data).to_batches(columns=[column]) if each.num_rows]


@contextmanager
def _one_line_errors(data: list[Path]) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"training set '{data[0]}'",
            f"cannot be read ({first_line(error)})",
            "build it again: the same inputs give the same set",
        ) from error
