"""Views whose definition changes their data, and whether the registry holds what the repo says."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.partitions import RANGE_END, RANGE_START
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.repairs.attempt_log import Ledger
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.due_windows import due_windows
from feature_platform.orchestration.watch.observed_events import (
    AUTOMATION,
    DEFINITION,
    PROJECT,
)
from feature_platform.registry.registry_address import local_registry_file
from feature_platform.registry.registry_apply import plan
from feature_platform.registry.registry_change import RegistryChange
from feature_platform.registry.windows_on_record import windows_of
from feature_platform.repo.inference import UNKNOWN, type_name

if TYPE_CHECKING:
    from feast import FeatureStore

# Runs looked back at for one that has succeeded.
_RUNS = 500
# In the ledger, beside the signatures of views.
_REPO = ""
_OTHER = "another"


@dataclass
class DefinitionChanges:
    """What a look at the definitions found.

    Attributes:
        change: What `feast apply` would change; None where nothing.
        views: View to partition key to the signature that its data is to have.
    """

    change: RegistryChange | None = None
    views: dict[str, dict[str, str]] = field(default_factory=dict)


def changed_definitions(  # noqa: PLR0917
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    instance: dg.DagsterInstance,
    store: "FeatureStore",
    registered: Mapping[str, Any],
    settings: AutomationSettings,
    ledger: Ledger,
    now: datetime,
    *,
    repo: str,
) -> DefinitionChanges:
    """Compare the repo with the registry, and with what data was last made for.

    What data was made for is remembered in the ledger, so that a change that somebody else applied
    (the daily run does) is not lost. Feast's own plan is made once for each state of the repo.

    Args:
        graph: The repo's graph.
        translator: The one that the definitions were built with.
        instance: Asked for backfills that have succeeded.
        store: The Feast store.
        registered: Feast's views by name, from the registry.
        settings: How far back.
        ledger: What data was made for; brought up to date.
        now: The moment.
        repo: A hash of the repo as it was loaded.
    """
    found = DefinitionChanges()
    done = _succeeded(instance, graph.project.name)
    differs = ledger.known.get(_REPO) != repo
    known = {_REPO: ledger.known.get(_REPO, "")}
    for name, view in graph.materializable.items():
        wanted = signature(view.obj)
        there = registered.get(name)
        before = ledger.known.get(name)
        due = due_windows(view, now, grace=settings.grace, lookback=settings.lookback)
        # Windows that are due later are made for the new definition by whoever makes them.
        other = f"{_OTHER} {max(due, default='')}"
        if there is None or changes_data(there, view.obj):
            differs = True
            before = other
        elif not windows_of(there):
            before = other  # never materialized, or its registry was lost and made anew
        elif before is None or (not before.startswith(_OTHER) and signature(there) != wanted):
            # First seen, or nothing but features taken away: the data that is there will do.
            before = wanted
        elif before != wanted and not before.startswith(_OTHER):
            before = other  # applied by somebody
        if before != wanted:
            newest = before.removeprefix(_OTHER).strip()
            # What is not on record as online any more has to be made again, whoever made it.
            online = there is not None and windows_of(there)
            spans = done.get((translator.key_of(view), wanted), []) if online else []
            left = [
                key
                for key in due
                if (key <= newest or not newest)
                and not any(first <= key <= last for first, last in spans)
            ]
            found.views[name] = dict.fromkeys(left, wanted)
            known[name] = before if left or there is None else wanted
        else:
            found.views[name], known[name] = {}, wanted
    if differs:
        file = local_registry_file(store)
        new = file is not None and not file.exists()
        # Feast would make the registry, only because somebody asked.
        change = _everything(graph) if new else plan(store, graph.project.contents)
        found.change = change or None
        if not change:
            known[_REPO] = repo
    ledger.known = known
    return found


def _everything(graph: FeastGraph) -> RegistryChange:
    """What applying a repo adds to a registry that is not there yet."""
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
    said = repr((_keys(view), sorted(_features(view).items()), _source(view.batch_source)))
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def changes_data(before: Any, after: Any) -> bool:
    """Whether windows that were materialized for `before` lack something of `after`.

    Tags, descriptions, owners and the TTL change no data; nor does a feature that goes.

    Args:
        before: The Feast view of the registry.
        after: The Feast view of the repo.
    """
    old, new = _features(before), _features(after)
    # What nobody has told yet, and Feast will find in the table, cannot be compared.
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


def _succeeded(
    instance: dg.DagsterInstance, project: str
) -> dict[tuple[dg.AssetKey, str], list[tuple[str, str]]]:
    """By view and signature, the first and last partition of each backfill that has succeeded.

    Only those since another definition was last backfilled: one that comes back finds data of the
    other in its windows.
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
    return found


def repo_state(graph: FeastGraph) -> str:
    """A hash of the files that define a repo."""
    project = graph.project
    files = [project.config_path, *sorted(project.repo_dir.rglob("*.py"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(project.repo_dir)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
