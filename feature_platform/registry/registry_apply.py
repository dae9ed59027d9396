"""`feast apply` that other writers of the registry cannot be lost to."""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from feature_platform.errors import (
    FeaturePlatformError,
    OnlineStoreError,
    RegistryError,
    RepoError,
    SourceError,
    type_and_line,
)
from feature_platform.online.crash_marker import add_crash_markers
from feature_platform.online.stores import backend_of
from feature_platform.registry.registrable import why_not_registrable
from feature_platform.registry.registry_address import is_sql, registry_subject
from feature_platform.registry.registry_change import RegistryChange, described, real_difference
from feature_platform.registry.registry_edit import ATTEMPTS
from feature_platform.registry.registry_files import RegistryFile, registry_file
from feature_platform.registry.registry_locks import registry_lock, unreachable, view_lock
from feature_platform.registry.windows_on_record import change_windows, load_view, windows_of

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents

    from feature_platform.core.windows import Window

_Result = TypeVar("_Result")


class _ConflictError(Exception):
    """Another process wrote the registry's object since it was read."""


def plan(store: "FeatureStore", repo_contents: "RepoContents") -> RegistryChange:
    """What `apply` would change; nothing is.

    Args:
        store: The Feast store.
        repo_contents: What the repo defines, from ``feast.repo_operations.parse_repo``.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    with _registry_errors(store):
        _refresh(store)
        contents = _prepared(store, repo_contents)
        difference = real_difference(store.plan(contents)[0])
    return described(difference)


def apply(store: "FeatureStore", repo_contents: "RepoContents") -> RegistryChange:
    """Make the registry, and the online store's tables, what the repo defines: ``feast apply``.

    It runs Feast's own plan and apply, under the lock that recording a window takes too, so that
    neither loses the other's work; the windows that are online are kept. Where every version of a
    view has an online table of its own (``enable_online_feature_view_versioning``), those of a view
    that moves to another version are forgotten: nothing is online of that one.

    Args:
        store: The Feast store.
        repo_contents: What the repo defines, from ``feast.repo_operations.parse_repo``.

    Returns:
        What was changed.

    Raises:
        RegistryError: The registry cannot be reached, or other writers were always faster.
        OnlineStoreError: The online store could not make the tables.
        SourceError: A table that types have to be inferred from is not there.
        RepoError: The transformation of a batch view has changed, which Feast cannot apply.
    """
    if not store.config.registry.enable_online_feature_view_versioning:
        return change_registry(store, lambda: _apply(store, repo_contents))
    forgotten: dict[str, tuple[int | None, list[Window]]] = {}
    with ExitStack() as held:
        # Also those that have nothing online: a run that began on one version would else record its
        # window for the next.
        moving = sorted(_changing_version(store, repo_contents))
        for view in moving:
            held.enter_context(view_lock(store, view))
        if moving:  # somebody else may have moved them before the locks were had
            moving = sorted({*moving}.intersection(_changing_version(store, repo_contents)))
        try:
            for view in moving:
                known = load_view(store, view)
                if windows := windows_of(known):
                    if known.online:
                        add_crash_markers(store, known, windows)
                    forgotten[view] = (known.current_version_number, windows)
                    # Before all else: a crash leaves windows that count as missing, and are not.
                    change_windows(store, view, lambda _: [])
            return change_registry(store, lambda: _apply(store, repo_contents))
        except BaseException:
            for view, (version, windows) in forgotten.items():
                # What cannot be restored is filled again; the others and the first error count.
                with suppress(FeaturePlatformError):
                    # A SQL registry may have moved it before the rest failed.
                    if load_view(store, view).current_version_number == version:
                        change_windows(store, view, partial(_with, windows))
            raise


def _with(windows: "list[Window]", there: "list[Window]") -> "list[Window]":
    return [*there, *windows]


def _changing_version(store: "FeatureStore", repo_contents: "RepoContents") -> list[str]:
    """The views that `_apply` gives another version than they have."""
    from feast.errors import FeatureViewNotFoundException

    with _registry_errors(store):
        _refresh(store)
        contents = _prepared(store, repo_contents)
        store.plan(contents)  # infers what the repo does not say
        moving = []
        for view in (*contents.feature_views, *contents.stream_feature_views):
            try:
                known = store.registry.get_any_feature_view(view.name, store.project)
            except FeatureViewNotFoundException:
                continue
            if _moves(view, known):
                moving.append(str(view.name))
        return moving


def change_registry(store: "FeatureStore", change: Callable[[], _Result]) -> _Result:
    """Let Feast write the registry so that nobody else's work is lost to it.

    Args:
        store: The Feast store.
        change: What is done, on a registry that has just been read; it may be done again.

    Returns:
        What `change` gives back.

    Raises:
        RegistryError: The registry cannot be reached, or other writers were always faster.
        OnlineStoreError: The online store could not make the tables.
    """
    with registry_lock(store), _registry_errors(store):
        for attempt in range(ATTEMPTS):
            try:
                with _conditional_writes(store):
                    _refresh(store)
                    return change()
            except _ConflictError:
                time.sleep(min(0.05 * (attempt + 1), 1.0))
    raise RegistryError(
        registry_subject(store),
        f"other writers were faster {ATTEMPTS} times in a row",
        "run again when fewer runs write it, or use a SQL registry",
        may_pass=True,
    )


def ensure_registered(
    store: "FeatureStore", repo_contents: "RepoContents", view: str
) -> RegistryChange | None:
    """Apply the repo if the registry does not have the view yet.

    Returns:
        What was changed; None if the view was there.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    from feast.errors import FeatureViewNotFoundException

    with _answering(store):
        try:
            store.registry.get_any_feature_view(view, store.project, allow_cache=False)
        except FeatureViewNotFoundException:
            pass
        else:
            return None
    return apply(store, repo_contents)


def _apply(store: "FeatureStore", repo_contents: "RepoContents") -> RegistryChange:
    from feast.repo_operations import extract_objects_for_apply_delete

    contents = _prepared(store, repo_contents)
    for view in (*contents.feature_views, *contents.stream_feature_views):
        # Feast copies the registry's windows into the object only when it has none, and an object
        # that was applied before has those of that time.
        view.materialization_intervals = []
    difference, infra_difference, infra = store.plan(contents)
    _keep_versions(store, contents)
    difference = real_difference(difference)
    # As feast apply decides; but its plan does not make the tables of new versions.
    versioned = store.config.registry.enable_online_feature_view_versioning
    if store._should_use_plan() and not versioned:  # noqa: SLF001
        store._apply_diffs(difference, infra_difference, infra)  # noqa: SLF001
    else:
        kept, deleted, _, _ = extract_objects_for_apply_delete(
            store.project, store.registry, contents
        )
        with _named_online(store):
            store.apply(kept, objects_to_delete=deleted, partial=False)
    return described(difference)


def _keep_versions(store: "FeatureStore", contents: "RepoContents") -> None:
    """Let views whose definition makes no new version keep the one that they have.

    Feast 0.67 takes such a view to be of version 0 again, and then serves the rows of that.
    """
    from feast.errors import FeatureViewNotFoundException

    for view in (*contents.feature_views, *contents.stream_feature_views):
        try:
            known = store.registry.get_any_feature_view(view.name, store.project)
        except FeatureViewNotFoundException:
            continue
        if not _moves(view, known):
            view.current_version_number = known.current_version_number


def _moves(view: Any, known: Any) -> bool:
    """Whether applying a view makes the registry go to another version of it."""
    from feast.version_utils import parse_version

    is_latest, pinned = parse_version(view.version)
    if is_latest:
        return bool(view._schema_or_udf_changed(known))  # noqa: SLF001 - as Feast decides
    return bool(pinned != (known.current_version_number or 0))


def _prepared(store: "FeatureStore", contents: "RepoContents") -> "RepoContents":
    """A copy of the contents with a project, as ``feast apply`` adds one.

    Feast infers into the objects it is given, and the second time it does a view without entities
    gets the dummy key as a feature; so the caller's objects stay as the repo made them.
    """
    from feast.project import Project

    for view in (*contents.feature_views, *contents.stream_feature_views):
        if why := why_not_registrable(view):
            raise RepoError(
                f"feature view '{view.name}'",
                f"{why}: applied, it would lock everybody out",
                "compute it in the SQL of its source, or in a transformation of mode 'pandas'",
            )
    copied = copy.deepcopy(contents)
    if not copied.projects:
        copied.projects.append(Project(name=store.project))
    for view in copied.feature_views:
        if getattr(view, "feature_transformation", None) is not None:
            _keep_transformation(store, view)
    return copied


def _keep_transformation(store: "FeatureStore", view: Any) -> None:
    """Take the registered transformation of a batch view for the repo's, where they are equal.

    Feast 0.67 compares their pickles, which differ from one process to the next, and then raises
    over a field that batch views do not have.
    """
    from feast.errors import FeatureViewNotFoundException

    try:
        known = store.registry.get_feature_view(view.name, store.project, allow_cache=False)
    except FeatureViewNotFoundException:
        return
    registered = getattr(known, "feature_transformation", None)
    if registered is None:
        return
    if registered != view.feature_transformation:
        raise RepoError(
            f"feature view '{view.name}'",
            "its transformation has changed, and this version of Feast cannot update it",
            f"delete it (`feast delete {view.name}`) and apply again, or give it another name",
        )
    view.feature_transformation = registered


def _refresh(store: "FeatureStore") -> None:
    if not is_sql(store):  # Feast edits files in its cache; SQL it reads again by itself
        with _answering(store):
            store.registry.refresh(store.project)


@contextmanager
def _answering(store: "FeatureStore") -> Iterator[None]:
    """Whatever is raised here is the registry's: every client library raises its own."""
    try:
        yield
    except (FeaturePlatformError, _ConflictError):
        raise
    except Exception as error:
        raise unreachable(store, error) from error


@contextmanager
def _named_online(store: "FeatureStore") -> Iterator[None]:
    """Let what the online store raises while Feast applies be known for its own."""
    online: Any = store._get_provider().online_store  # noqa: SLF001 - that Feast will use
    if online is None:
        yield
        return
    update = online.update

    def named(*arguments: Any, **named_arguments: Any) -> None:
        try:
            update(*arguments, **named_arguments)
        except FeaturePlatformError:
            raise
        except Exception as error:
            kind = str(store.config.online_store.type)
            raise OnlineStoreError(
                f"online store '{kind}'",
                f"it could not make the tables of the feature views ({type_and_line(error)})",
                backend_of(kind).update_remedy(error),
            ) from error

    online.update = named
    try:
        yield
    finally:
        del online.update


@contextmanager
def _conditional_writes(store: "FeatureStore") -> Iterator[None]:
    """Let Feast write the registry's file as a whole, and only over what it has read."""
    with _answering(store):
        target = None if is_sql(store) else registry_file(store)
    if target is None:
        yield
        return
    registry = store.registry
    stock = registry._registry_store  # noqa: SLF001 - the one seam Feast has here
    registry._registry_store = _ConditionalStore(store, target, stock)  # noqa: SLF001
    try:
        yield
    finally:
        registry._registry_store = stock  # noqa: SLF001


class _ConditionalStore:
    """Feast's registry store over a `RegistryFile`."""

    def __init__(self, store: "FeatureStore", target: RegistryFile, stock: Any) -> None:
        self._store = store
        self._target = target
        self._stock = stock
        self._version: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stock, name)

    def get_registry_proto(self) -> Any:
        from feast.protos.feast.core.Registry_pb2 import Registry

        with _answering(self._store):
            content, self._version = self._target.read()
            return Registry.FromString(content)

    def update_registry_proto(self, registry_proto: Any) -> None:
        import uuid
        from datetime import UTC, datetime

        registry_proto.version_id = str(uuid.uuid4())
        registry_proto.last_updated.FromDatetime(datetime.now(UTC))
        content = registry_proto.SerializeToString()
        with _answering(self._store):
            self._target.write(content, self._version)
            # Also where it was refused: a client that got no answer tried again, and met its own.
            written, self._version = self._target.read()
        if written != content:
            raise _ConflictError


@contextmanager
def _registry_errors(store: "FeatureStore") -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (FeaturePlatformError, _ConflictError):
        raise
    except FileNotFoundError as error:
        if not _in_inference(error):
            raise unreachable(store, error) from error
        path = error.filename or (error.args[0] if error.args else "unknown path")
        raise SourceError(
            f"source table '{path}'",
            "there is no such file, and Feast looks there for what the repo does not say",
            "build the table, or declare every join key's type and every feature in the schema",
        ) from error
    except (SQLAlchemyError, OSError) as error:
        raise unreachable(store, error) from error


def _in_inference(error: BaseException) -> bool:
    """Whether it was raised while Feast looked up types in a source table."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == "feast.inference":
            return True
        trace = trace.tb_next
    return False
