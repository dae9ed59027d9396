"""Atomic read-modify-write of one feature view in the registry, whatever kind of registry it is."""

import copy
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from feature_platform.errors import RegistryError
from feature_platform.registry.registry_address import is_sql, registry_subject
from feature_platform.registry.registry_files import has_file
from feature_platform.registry.registry_writes import change_registry

if TYPE_CHECKING:
    from feast import FeatureStore

Change = Callable[[Any], None]
"""Edits a ``FeatureView`` or ``StreamFeatureView`` message in place; may run more than once."""

_BUSY_MILLISECONDS = 60_000


def edit_view(store: "FeatureStore", name: str, change: Change) -> None:
    """Read a feature view from the registry, change it, and write it back, as one step.

    A registry in a file is edited as `change_registry` describes. A SQL registry is edited in one
    transaction that locks the row (PostgreSQL, MySQL) or the database (SQLite) before reading.

    Raises:
        RegistryError: There is no such view, or the registry cannot be reached, or offers no atomic
            edits (remote, Snowflake, custom).
    """
    if not is_sql(store) and not has_file(store):
        raise RegistryError(
            registry_subject(store),
            f"a registry of type '{store.config.registry.registry_type}' offers no atomic edit",
            "use a file, SQL, gs:// or s3:// registry for what is materialized here",
        )
    edit = _edit_sql if is_sql(store) else _edit_file
    change_registry(store, lambda: edit(store, name, change))


def missing_view(store: "FeatureStore", name: str) -> RegistryError:
    """The error for a view that is not in the registry, with the nearest names."""
    from difflib import get_close_matches

    try:
        known = sorted(view.name for view in store.registry.list_all_feature_views(store.project))
    except Exception:  # noqa: BLE001 - the names are only a hint
        known = []
    near = get_close_matches(name, known, n=3, cutoff=0.5) or known[:5]
    hint = f" (nearest: {', '.join(near)})" if near else ""
    return RegistryError(
        f"feature view '{name}'",
        f"the registry of project '{store.project}' has none of that name{hint}",
        "correct the name, or run feast apply",
    )


def _edit_file(store: "FeatureStore", name: str, change: Change) -> None:
    registry = store.registry.proto()  # Feast's cache, which has just been read from the file
    for view in (*registry.feature_views, *registry.stream_feature_views):
        if view.spec.name == name and view.spec.project == store.project:
            edited = copy.deepcopy(view)
            change(edited)
            view.CopyFrom(edited)  # at once: other threads may read the cache
            store.registry.commit()
            return
    raise missing_view(store, name)


def _edit_sql(store: "FeatureStore", name: str, change: Change) -> None:
    with store.registry.write_engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            _edit_sqlite(store, connection, name, change)
        else:
            with connection.begin():
                _edit_row(store, connection, name, change)


def _edit_sqlite(store: "FeatureStore", connection: Any, name: str, change: Change) -> None:
    # The driver begins a transaction at the first write, after the read; so begin it here.
    session = connection.execution_options(isolation_level="AUTOCOMMIT")
    session.exec_driver_sql(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    session.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        _edit_row(store, session, name, change)
    except BaseException:
        session.exec_driver_sql("ROLLBACK")
        raise
    session.exec_driver_sql("COMMIT")


def _edit_row(store: "FeatureStore", connection: Any, name: str, change: Change) -> None:
    from feast.infra.registry.sql import feature_views, stream_feature_views
    from feast.protos.feast.core.FeatureView_pb2 import FeatureView
    from feast.protos.feast.core.StreamFeatureView_pb2 import StreamFeatureView
    from sqlalchemy import select, update

    for table, message in (
        (feature_views, FeatureView),
        (stream_feature_views, StreamFeatureView),
    ):
        at = (table.c.feature_view_name == name) & (table.c.project_id == store.project)
        row = connection.execute(select(table.c.feature_view_proto).where(at).with_for_update())
        found = row.first()
        if found is None:
            continue
        view = message.FromString(found[0])
        change(view)
        connection.execute(
            update(table)
            .where(at)
            .values(
                feature_view_proto=view.SerializeToString(),
                last_updated_timestamp=int(time.time()),
            )
        )
        return
    raise missing_view(store, name)
