"""Views whose definition changes their data, and whether the registry is what the repo says."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.partitions import RANGE_END, RANGE_START
from feature_platform.orchestration.repairs.attempt_log import AttemptLog
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.repair_cause import Findings, RepairCause
from feature_platform.orchestration.watch.due_windows import due_windows
from feature_platform.orchestration.watch.observed_events import (
    AUTOMATION,
    DEFINITION,
    PROJECT,
)
from feature_platform.registry.registry_address import local_registry_file
from feature_platform.registry.registry_apply import plan
from feature_platform.registry.registry_change import RegistryChange
from feature_platform.registry.windows_on_record import registered_views, windows_of
from feature_platform.repo.inference import UNKNOWN, type_name

# How many runs to look back for one that has succeeded.
_RUNS = 500
# In the log's `known`: the hash of the repo, under a name that no view has.
_REPO = ""
# In the log's `known`: a view's data is of another definition. It is followed by the newest
# partition that was due when that was found.
_OTHER = "another"


def _changed_definitions(
    project: AutomatedProject, instance: dg.DagsterInstance, log: AttemptLog, now: datetime
) -> Findings:
    """Compare the repo with the registry, and with the definition that the data was made for.

    The latter is kept in the log, so that a change that somebody else applied (the daily run does)
    is not missed. Feast's own plan is made once for each state of the repo.
    """
    found, settings = Findings(), project.settings
    store = project.graph.project.store()
    registered = registered_views(store)
    done = _successful_backfills(instance, project.name)
    differs = log.known.get(_REPO) != project.repo
    known = {_REPO: log.known.get(_REPO, "")}
    for name, view in project.graph.materializable.items():
        there = registered.get(name)
        try:
            wanted = signature(view.obj)
            due = due_windows(view, now, grace=settings.grace, lookback=settings.lookback)
            is_changed = there is None or changes_data(there, view.obj)
            other = f"{_OTHER} {max(due, default='')}"
            before = other if is_changed else _made_for(log.known.get(name), wanted, there, other)
            is_online = there is not None and bool(windows_of(there))
        except Exception as error:  # noqa: BLE001 - one view's trouble is not another's
            found.note_failure(name, error)
            known |= {name: log.known[name]} if name in log.known else {}
            continue
        differs |= is_changed
        if before == wanted:
            found.wrong[name], known[name] = {}, wanted
            continue
        newest = before.removeprefix(_OTHER).strip()
        # What the registry does not record as online has to be made again, whoever made it.
        spans = done.get((project.translator.key_of(view), wanted), []) if is_online else []
        left = [
            key
            for key in due
            if (key <= newest or not newest)
            and not any(first <= key <= last for first, last in spans)
        ]
        found.wrong[name] = dict.fromkeys(left, wanted)
        known[name] = before if left or there is None else wanted
    if differs:
        file = local_registry_file(store)
        is_new = file is not None and not file.exists()
        # Planning would make Feast create the registry.
        change = (
            _everything(project.graph) if is_new else plan(store, project.graph.project.contents)
        )
        found.change = change or None
        if not change:
            known[_REPO] = project.repo
    log.known = known
    return found


def _made_for(known: str | None, wanted: str, there: Any, other: str) -> str:
    """The signature that a view's data was made for, or `other`.

    Windows that become due later are made for the new definition by whoever makes them.

    Args:
        known: The same at the last tick; None at the first.
        wanted: The signature of the repo's definition.
        there: The view as the registry has it.
        other: The text for another definition, see `_OTHER`.
    """
    if not windows_of(there):
        return other  # never materialized, or its registry was lost and created again
    if known is None or (not known.startswith(_OTHER) and signature(there) != wanted):
        return wanted  # the first tick, or only features were removed: the data will do
    if known != wanted and not known.startswith(_OTHER):
        return other  # somebody applied the new definition
    return known


def _everything(graph: FeastGraph) -> RegistryChange:
    """What applying a repo adds to a registry that does not exist yet."""
    contents = graph.project.contents
    kinds = {
        "data source": contents.data_sources,
        "entity": contents.entities,
        "feature view": [*contents.feature_views, *contents.stream_feature_views],
        "on demand feature view": contents.on_demand_feature_views,
        "feature service": contents.feature_services,
    }
    added = sorted(f"{kind} {each.name}" for kind, objects in kinds.items() for each in objects)
    return RegistryChange(tuple(added), (), (), "the registry is not there yet")


def signature(view: Any) -> str:
    """A hash of what a view's data depends on: keys, features with their types, source."""
    text = repr((_keys(view), sorted(_features(view).items()), _source(view.batch_source)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def changes_data(before: Any, after: Any) -> bool:
    """Whether windows that were materialized for `before` lack something of `after`.

    Tags, descriptions, owners, the TTL and removed features change no data.

    Args:
        before: The Feast view of the registry.
        after: The Feast view of the repo.
    """
    old, new = _features(before), _features(after)
    # A type that Feast will infer from the table cannot be compared yet.
    differs = any(old.get(name) != kind for name, kind in new.items() if kind != UNKNOWN)
    same_source = _source(before.batch_source) == _source(after.batch_source)
    return differs or not same_source or _keys(before) != _keys(after)


def _keys(view: Any) -> list[str]:
    from feast.feature_view import DUMMY_ENTITY_ID

    return sorted(key for key in view.join_keys if key != DUMMY_ENTITY_ID)


def _features(view: Any) -> dict[str, str]:
    return {each.name: type_name(each.dtype) for each in view.features}


def _source(source: Any) -> tuple[Any, ...] | None:
    if source is None:
        return None
    path = getattr(source, "path", None)
    try:
        table = path if path is not None else source.get_table_query_string()
    except NotImplementedError:
        table = source.name
    return (
        str(table),
        source.timestamp_field,
        source.created_timestamp_column or "",
        sorted(source.field_mapping.items()),
    )


def _successful_backfills(
    instance: dg.DagsterInstance, project: str
) -> dict[tuple[dg.AssetKey, str], Sequence[tuple[str, str]]]:
    """By view and signature, the first and last partition of each backfill that has succeeded.

    Only those since the last backfill for another definition: if a definition comes back, the data
    of the other one is in its windows.
    """
    runs = instance.get_runs(
        dg.RunsFilter(
            tags={AUTOMATION: "definition_changed", PROJECT: project},
            statuses=[dg.DagsterRunStatus.SUCCESS],
        ),
        limit=_RUNS,
    )
    found: dict[tuple[dg.AssetKey, str], list[tuple[str, str]]] = {}
    newest: dict[dg.AssetKey, str] = {}
    for run in runs:  # the newest first
        if DEFINITION in run.tags:
            for key in run.asset_selection or ():
                span = (run.tags[RANGE_START], run.tags[RANGE_END])
                if newest.setdefault(key, run.tags[DEFINITION]) == run.tags[DEFINITION]:
                    found.setdefault((key, run.tags[DEFINITION]), []).append(span)
    return dict(found)


DEFINITION_CHANGED = RepairCause(
    name="definition_changed",
    description="Applies changed definitions and materializes the views they change.",
    label="definition changed",
    reason="its definition has changed",
    find=_changed_definitions,
    views_per_run=1,  # all windows of a view change: one range per view
    tags_definition=True,
)
