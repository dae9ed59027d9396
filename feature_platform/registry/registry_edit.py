"""Atomic read-modify-write of one feature view in the registry, whatever kind of registry it is."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feature_platform.errors import RegistryError
from feature_platform.registry.registry_address import is_sql, registry_subject
from feature_platform.registry.registry_errors import registry_errors, too_many_conflicts
from feature_platform.registry.registry_files import has_file, registry_file
from feature_platform.registry.registry_locks import registry_lock
from feature_platform.registry.registry_writes import change_registry, refresh

if TYPE_CHECKING:
    from feast import FeatureStore

Change = Callable[[Any], None]
"""Edits a ``FeatureView`` or ``StreamFeatureView`` message in place; may run more than once."""

_ATTEMPTS = 200
_BUSY_MILLISECONDS = 60_000


def edit_view(store: "FeatureStore", name: str, change: Change) -> None:
    """Read a feature view from the registry, change it, and write it back, as one step.

    A registry in a file is replaced only if it is still the one that was read. A SQL registry is
    edited in one transaction that locks the row (PostgreSQL, MySQL) or the database (SQLite) before
    reading.

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
    if is_sql(store):
        change_registry(store, lambda: _edit_sql(store, name, change))
    else:
        _edit_file(store, name, change)


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
    """Edit the file itself: other threads of the process may refresh Feast's cache at any time."""
    from feast.protos.feast.core.Registry_pb2 import Registry

    with registry_lock(store):
        for attempt in range(_ATTEMPTS):
            with registry_errors(store):
                file = registry_file(store)
                assert file is not None  # noqa: S101 - `edit_view` has looked
                content, version = file.read()
                registry = Registry.FromString(content)
            _change(store, registry, name, change)
            with registry_errors(store):
                if file.write(registry.SerializeToString(), version):
                    break
            time.sleep(min(0.01 * (attempt + 1), 0.25))
        else:
            raise too_many_conflicts(store, _ATTEMPTS)
    refresh(store)  # Feast writes the whole file from its cache: a stale one would undo the edit


def _change(store: "FeatureStore", registry: Any, name: str, change: Change) -> None:
    """Change the view in the registry's message, and give that a new version as Feast does."""
    for view in (*registry.feature_views, *registry.stream_feature_views):
        if view.spec.name == name and view.spec.project == store.project:
            change(view)
            registry.version_id = str(uuid.uuid4())
            registry.last_updated.FromDatetime(datetime.now(UTC))
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
