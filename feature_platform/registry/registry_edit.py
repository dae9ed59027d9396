"""One atomic read-modify-write of a feature view in the registry, whatever it is kept in."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feature_platform.errors import RegistryError
from feature_platform.registry.registry_address import is_sql, registry_subject
from feature_platform.registry.registry_files import RegistryFile, registry_file
from feature_platform.registry.registry_locks import registry_lock, unreachable

if TYPE_CHECKING:
    from feast import FeatureStore

Change = Callable[[Any], None]
"""Edits a ``FeatureView`` or ``StreamFeatureView`` message in place; may be called again."""

ATTEMPTS = 200
"""How often an edit starts over because another writer was faster."""
_BUSY_MILLISECONDS = 60_000


def edit_view(store: "FeatureStore", name: str, change: Change) -> bool:
    """Read a feature view from the registry, change it, and write it back, as one step.

    - A local file is edited under a lock, and replaced by renaming a complete new one over it.
    - A SQL registry is edited in one transaction that holds the row (PostgreSQL, MySQL) or the
      database (SQLite) from the read on, under the lock that `registry_apply` takes too.
    - An object in GCS or S3 is written on the condition that it is still the one that was read,
      and the edit starts over when it is not.

    Args:
        store: The Feast store.
        name: Name of the view.
        change: The edit.

    Returns:
        False when this kind of registry (remote, Snowflake, a custom one) offers no atomic edit;
        nothing was changed then.

    Raises:
        RegistryError: The view is not there, or the registry cannot be reached.
    """
    if is_sql(store):
        with registry_lock(store):
            _edit_sql(store, name, change)
        return True
    try:
        target = registry_file(store)
    except Exception as error:  # each client library raises its own
        raise unreachable(store, error) from error
    if target is None:
        return False
    with registry_lock(store):
        _edit_target(store, name, change, target)
    try:
        # Feast writes the whole file from its cache: a stale one would undo this edit.
        store.registry.refresh(store.project)
    except Exception as error:
        raise unreachable(store, error) from error
    return True


def missing_view(store: "FeatureStore", name: str) -> RegistryError:
    """The error for a view that is not in the registry, with the nearest names."""
    from difflib import get_close_matches

    try:
        known = sorted(view.name for view in store.registry.list_all_feature_views(store.project))
    except Exception:  # noqa: BLE001 - the names only help; what matters is said below
        known = []
    near = get_close_matches(name, known, n=3, cutoff=0.5) or known[:5]
    hint = f" (nearest: {', '.join(near)})" if near else ""
    return RegistryError(
        f"feature view '{name}'",
        f"the registry of project '{store.project}' has none of that name{hint}",
        "correct the name, or run feast apply",
    )


def _edit_target(store: "FeatureStore", name: str, change: Change, target: RegistryFile) -> None:
    for attempt in range(ATTEMPTS):
        try:
            content, version = target.read()
        except Exception as error:  # each client library raises its own
            raise unreachable(store, error) from error
        edited = _edited(store, name, change, content)
        try:
            if target.write(edited, version):
                return
        except Exception as error:
            raise unreachable(store, error) from error
        time.sleep(min(0.01 * (attempt + 1), 0.25))
    raise RegistryError(
        registry_subject(store),
        f"other writers were faster {ATTEMPTS} times in a row",
        "run again when fewer runs write it, or use a SQL registry",
        is_transient=True,
    )


def _edited(store: "FeatureStore", name: str, change: Change, content: bytes) -> bytes:
    """The registry message with the view changed, and a new version as Feast gives one."""
    from feast.protos.feast.core.Registry_pb2 import Registry

    registry = Registry.FromString(content)
    for view in (*registry.feature_views, *registry.stream_feature_views):
        if view.spec.name == name and view.spec.project == store.project:
            change(view)
            registry.version_id = str(uuid.uuid4())
            registry.last_updated.FromDatetime(datetime.now(UTC))
            return bytes(registry.SerializeToString())
    raise missing_view(store, name)


def _edit_sql(store: "FeatureStore", name: str, change: Change) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with store.registry.write_engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                _edit_sqlite(store, connection, name, change)
            else:
                with connection.begin():
                    _edit_row(store, connection, name, change)
    except SQLAlchemyError as error:
        raise unreachable(store, error) from error


def _edit_sqlite(store: "FeatureStore", connection: Any, name: str, change: Change) -> None:
    # The driver would begin at the first write, after the read; so it is told not to at all.
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
