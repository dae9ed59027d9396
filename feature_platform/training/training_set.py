"""Training sets: features of a service joined point in time to entity rows, as a snapshot."""

from collections.abc import Callable, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.core.feast_seams import provider_of
from feature_platform.core.windows import Window
from feature_platform.errors import FeaturePlatformError, RepoError, SourceError, type_and_line
from feature_platform.repo.service_layout import ServiceView, service_views
from feature_platform.training.entity_rows import (
    KnownBy,
    entity_hash,
    entity_table,
    nullable_dtype,
)
from feature_platform.training.singleton_views import computed_row_by_row
from feature_platform.training.snapshot_changes import what_changed
from feature_platform.training.snapshots import Snapshot, latest_snapshot, publish_snapshot
from feature_platform.training.training_set_inputs import (
    needed_columns,
    require_columns,
    require_tables,
    typed_keys,
)

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureService, FeatureStore

    from feature_platform.repo.project import FeastProject

_ROW = "fp_entity_row"
_MICROSECOND = timedelta(microseconds=1)
# Joins until the sources have stayed the same meanwhile.
_ATTEMPTS = 3

Progress = Callable[[str], None]
"""Called with what is being done, in a few words."""


@dataclass(frozen=True)
class TrainingSet:
    """A version of a service's training set, with data and manifest.

    `previous` is the latest version before, None for the first one; `changes` are the differences
    from it, one sentence each.
    """

    service: str
    snapshot: Snapshot
    previous: str | None = None
    changes: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """16 hexadecimal digits."""
        return self.snapshot.version

    @property
    def rows(self) -> int:
        """Number of rows, as of entity rows."""
        return int(self.snapshot.manifest["rows"])

    def to_arrow(self) -> pa.Table:
        """Entity columns, then the features in the service's order."""
        return self.snapshot.read()

    def to_pandas(self) -> "pd.DataFrame":
        """The same; integers with nulls have pandas' nullable type."""
        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper=nullable_dtype)
        return frame


def build_training_set(
    project: "FeastProject",
    service: str,
    entities: "pa.Table | pd.DataFrame",
    out: str | Path,
    *,
    timestamp: str = "event_timestamp",
    origin: str = "a data frame",
    label: str | None = None,
    partition: str | None = None,
    known_by: KnownBy | None = None,
    progress: Progress = lambda _: None,
) -> TrainingSet:
    """Join a service's features point in time to entity rows, and store the result.

    Every entity row is kept, in its order. The snapshot is in ``out/<service>/<version>`` or
    ``out/<service>/<partition>/<version>``, with a manifest of everything it depends on. The same
    inputs give the same bytes and the same version.

    Args:
        project: The repo; it must have been applied.
        service: Name of a feature service.
        entities: Join keys, a time, and any other columns, such as a label.
        out: The folder of snapshots.
        timestamp: The time column of `entities`; times without a zone are UTC.
        origin: Where the entity rows come from, for the manifest.
        label: The label column, for the manifest.
        partition: The partition of the entity rows.
        known_by: See `EntityRows`.
        progress: Called with what is being done.

    Raises:
        RepoError: There is no such service, or the offline store knows no created times.
        SourceError: Entity rows lack a column or have a wrong type, a source cannot be read, or
            the offline store lost rows.
    """
    store = project.store()
    wanted = _service(project, store, service)
    table = entity_table(entities, timestamp, origin)
    views = service_views(store, wanted)
    require_columns(table, store, wanted, views, origin)
    table = typed_keys(table, views)
    progress(f"joining {table.num_rows} entity rows")
    root = Path(out).resolve() / service / (partition or "")
    with chdir(project.repo_dir):  # some offline stores resolve relative paths there
        features, sources = _joined_at_rest(store, wanted, views, table, timestamp, known_by)
    joined = _beside(table, features, service)
    if label is not None and label not in joined.column_names:
        raise SourceError(
            f"entity rows of {origin}",
            f"have no label column '{label}' (they have {', '.join(table.column_names)})",
            "add it, or name the label's column",
        )
    manifest = {
        "service": service,
        "project": project.name,
        "partition": partition,
        "rows": joined.num_rows,
        "known_by": known_by,
        "entity_rows": {
            "origin": origin,
            "sha256": entity_hash(table),
            "columns": table.column_names,
            "keys": sorted({key for view in views for key in view.keys}),
            "timestamp": timestamp,
            **_bounds(table.column(timestamp)),
            "label": label,
        },
        "features": _feature_facts(features),
        "feature_views": {
            view.alias: {"view": view.name, "definition": view.definition, "version": view.version}
            for view in views
        },
        "sources": sources,
        "code": {name: version(name) for name in ("feature-platform", "feast", "pyarrow")},
    }
    before = latest_snapshot(root)
    progress("writing")
    snapshot = publish_snapshot(root, joined, manifest)
    return TrainingSet(
        service,
        snapshot,
        previous=before.version if before else None,
        changes=what_changed(before, snapshot) if before else (),
    )


def _joined_at_rest(  # noqa: PLR0917  as `joined_features`
    store: "FeatureStore",
    service: "FeatureService",
    views: Sequence[ServiceView],
    entities: pa.Table,
    timestamp: str,
    known_by: KnownBy | None,
) -> tuple[pa.Table, dict[str, dict[str, Any]]]:
    """The features, and the facts of sources that did not change while they were joined.

    The offline store reads the sources by itself, so they are hashed before and after.
    """
    times = entities.column(timestamp)
    facts = None
    with suppress(FeaturePlatformError):  # the join says better what is wrong
        facts = _source_facts(store, views, times)
    for _ in range(_ATTEMPTS):
        features = joined_features(store, service, entities, timestamp, known_by)
        after = _source_facts(store, views, times)
        if after == facts:
            return features, after
        facts = after
    raise SourceError(
        f"feature service '{service.name}'",
        f"its sources changed while they were joined, {_ATTEMPTS} times",
        "build the training set when nothing writes to them",
        is_transient=True,
    )


def joined_features(
    store: "FeatureStore",
    service: "FeatureService",
    entities: pa.Table,
    timestamp: str,
    known_by: KnownBy | None = None,
) -> pa.Table:
    """The features alone, one row per entity row, in order."""
    from feast.errors import FeatureNameCollisionError

    by_created = {"filter_by_created_timestamp": True} if known_by == "created" else {}
    if by_created:
        _require_created_times(store, service)
    needed = needed_columns(store, service) & set(entities.column_names)
    asked = entities.select([name for name in entities.column_names if name in needed])
    asked = asked.append_column("event_timestamp", entities.column(timestamp))
    asked = asked.append_column(_ROW, pa.array(np.arange(entities.num_rows)))
    frame = _frame(asked)
    kind = store.config.offline_store.type
    try:
        try:
            job = store.get_historical_features(frame, service, **by_created)
        except FeatureNameCollisionError:
            job = store.get_historical_features(
                frame, service, full_feature_names=True, **by_created
            )
        computed_row_by_row(job.on_demand_feature_views)
        found = job.to_arrow()
    except Exception as error:
        require_tables(store, service)
        if isinstance(error, FeaturePlatformError):
            raise
        raise SourceError(
            f"feature service '{service.name}'",
            f"the offline store '{kind}' could not join it ({type_and_line(error)})",
            "check that its source tables, their columns and the entity rows' keys fit together",
        ) from error
    found = found.sort_by(_ROW)
    rows = found.column(_ROW).to_numpy()
    if not np.array_equal(rows, np.arange(entities.num_rows)):
        raise SourceError(
            f"feature service '{service.name}'",
            f"the offline store '{kind}' returned {len(rows)} rows ({len(np.unique(rows))} "
            f"different) for {entities.num_rows} entity rows",
            "use an offline store that keeps every entity row, such as duckdb",
        )
    return _typed(found.drop_columns(asked.column_names), store, service)


def _require_created_times(store: "FeatureStore", service: "FeatureService") -> None:
    if not provider_of(store).offline_store.supports_filter_by_created_timestamp:
        raise RepoError(
            f"training set of '{service.name}'",
            "known_by is 'created', and the offline store "
            f"'{store.config.offline_store.type}' cannot leave out what was written later",
            "use feature_platform.plugins.PointInTimeOfflineStore, or known_by: event",
        )


def _service(project: "FeastProject", store: "FeatureStore", name: str) -> "FeatureService":
    from feast.errors import FeatureServiceNotFoundException

    try:
        return store.get_feature_service(name)
    except FeatureServiceNotFoundException:
        known = ", ".join(sorted(project.services)) or "(the repo has none)"
        raise RepoError(
            f"feature service '{name}'",
            f"the registry of project '{project.name}' has none of that name",
            f"choose one of: {known}"
            if name not in project.services
            else "apply the repo first: materialize the registry asset, or run feast apply",
        ) from None


def _bounds(times: pa.ChunkedArray) -> dict[str, str | None]:
    """First and last time, ISO 8601; None without rows."""
    first, last = pc.min_max(times).as_py().values()
    return {"first": first and first.isoformat(), "last": last and last.isoformat()}


def _beside(entities: pa.Table, features: pa.Table, service: str) -> pa.Table:
    twice = sorted(set(entities.column_names) & set(features.column_names))
    if twice:
        raise SourceError(
            f"feature service '{service}'",
            f"has a feature '{twice[0]}', and so have the entity rows a column",
            "rename the column of the entity rows",
        )
    joined = entities
    for name in features.column_names:
        joined = joined.append_column(name, features.column(name))
    return joined


def _typed(table: pa.Table, store: "FeatureStore", service: "FeatureService") -> pa.Table:
    """Features in their declared types: pandas makes floats of integers with nulls."""
    from feast.type_map import feast_value_type_to_pa

    kinds: dict[str, Any] = {}
    for projection in service.feature_view_projections:
        for each in projection.features:
            kinds[each.name] = each.dtype
            kinds[f"{projection.name_to_use()}__{each.name}"] = each.dtype
    for view in service_views(store, service):  # inputs of on-demand views are joined too
        for each in view.view.features:
            kinds.setdefault(each.name, each.dtype)
            kinds.setdefault(f"{view.alias}__{each.name}", each.dtype)
    for place, name in enumerate(table.column_names):
        if name not in kinds:
            continue
        column, kind = table.column(name), kinds[name].to_value_type()
        wanted = feast_value_type_to_pa(kind) if hasattr(kind, "name") else None
        if wanted is None or not _is_number(wanted) or column.type == wanted:
            continue
        if pa.types.is_floating(column.type) and not pa.types.is_floating(wanted):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        try:
            # An integer that a double cannot hold is rounded, as when it is served.
            column = column.cast(wanted, safe=not pa.types.is_floating(wanted))
        except pa.ArrowException as error:
            raise SourceError(
                f"feature '{name}' of service '{service.name}'",
                f"its source holds {column.type}, which does not fit the declared {wanted} "
                f"({type_and_line(error)})",
                "declare the type that the source holds, or correct the source",
            ) from error
        table = table.set_column(place, name, column)
    return table


def _frame(table: pa.Table) -> "pd.DataFrame":
    """The table in pandas; integers with nulls are nullable integers, since doubles round them."""
    import pandas as pd

    return pd.DataFrame(
        {
            name: column.to_pandas(types_mapper=nullable_dtype if column.null_count else None)
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def _feature_facts(features: pa.Table) -> dict[str, dict[str, Any]]:
    """Type, null rate and default rate (0, false, or empty) by feature."""
    rows = max(features.num_rows, 1)
    return {
        name: {
            "type": str(column.type),
            "null_rate": round(column.null_count / rows, 6),
            "default_rate": round(_defaults(column) / rows, 6),
        }
        for name, column in zip(features.column_names, features.columns, strict=True)
    }


def _defaults(column: pa.ChunkedArray) -> int:
    kind = column.type
    if pa.types.is_boolean(kind):
        found = pc.invert(column)
    elif _is_number(kind):
        found = pc.equal(column, pa.scalar(0, kind))
    elif pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        found = pc.equal(pc.binary_length(column), 0)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        found = pc.equal(pc.list_value_length(column), 0)
    else:
        return 0
    return int(pc.sum(found).as_py() or 0)


def _source_facts(
    store: "FeatureStore", views: Sequence[ServiceView], times: pa.ChunkedArray
) -> dict[str, dict[str, Any]]:
    """Content hash of the rows that the join may read, by view."""
    from feature_platform.sources.window_digests import window_digests

    facts: dict[str, dict[str, Any]] = {}
    if not len(times):
        return facts
    bounds = pc.min_max(times).as_py()
    # On-demand views may read other features of a view than the service.
    columns: dict[str, set[str]] = {}
    for view in views:
        columns.setdefault(view.alias, set()).update(view.source_columns)
    for view in {view.alias: view for view in views}.values():
        window = Window(view.looks_back_to(bounds["min"]), bounds["max"] + _MICROSECOND)
        (digest,) = window_digests(store, view.source, [window], sorted(columns[view.alias]))
        facts[view.alias] = {
            "source": view.source.name,
            "rows": digest.rows,
            "content_hash": digest.content_hash,
        }
    return facts
