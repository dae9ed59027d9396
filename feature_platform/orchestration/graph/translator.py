"""How an object of a Feast repo appears in Dagster: one method over one record."""

import hashlib
import re
import unicodedata
import warnings
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from feature_platform.orchestration.graph.cadence import promise, require_cron
from feature_platform.orchestration.graph.translator_data import (
    DriftData,
    FeastObjectData,
    FeastTranslatorData,
    FeatureServiceData,
    FeatureViewData,
    OnDemandViewData,
    RawTableData,
    RefusedDriftData,
    RefusedViewData,
    RegistryData,
    SkewData,
    SourceData,
    TrainingSetData,
)
from feature_platform.registry.registry_address import configured_address
from feature_platform.repo.view_settings import PREFIX

_FOLDERS = {
    "source": "sources",
    "feature_view": "feature_views",
    "on_demand_feature_view": "feature_views",
    "feature_service": "feature_services",
    "drift": "drift",
    "skew": "skew",
    "training_set": "training_sets",
}
_Report = DriftData | RefusedDriftData | SkewData | TrainingSetData
_Partitioned = SourceData | FeatureViewData | DriftData | TrainingSetData
_WithSettings = FeatureViewData | RefusedViewData | DriftData | RefusedDriftData
# What Feast calls the entity of a view without entities.
_NO_ENTITY = "__dummy"
_TAG_KEY = re.compile(r"^[\w.\-]{1,63}(/[\w.\-]{1,63})?$", re.ASCII)
_TAG_VALUE = re.compile(r"^[\w.\-]{0,63}$", re.ASCII)
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$")


class DagsterFeastTranslator:
    """Turns an object of a Feast repo into a Dagster ``AssetSpec``.

    Subclass it and override :meth:`get_asset_spec` to change keys, groups, owners, tags, metadata
    or freshness: take ``super().get_asset_spec(data)`` and ``replace_attributes`` on it. `data` is
    of the class that `feature_platform.orchestration.graph.translator_data` has for its kind.
    Dependencies are built through the same method, so they follow.
    """

    def get_asset_spec(self, data: FeastTranslatorData) -> dg.AssetSpec:
        """The spec of one object; its key is what other objects depend on."""
        # One group per project: with a second one the UI draws closed boxes instead of the graph.
        group = re.sub(r"\W", "_", data.project.name, flags=re.ASCII)
        if isinstance(data, RawTableData):
            return dg.AssetSpec(
                key=dg.AssetKey(data.name.split(".")),
                group_name=group,
                description="A raw table that the repo's SQL reads.",
                kinds={"table"},
            )
        obj = data.obj if isinstance(data, FeastObjectData) else None
        tags = getattr(obj, "tags", None) or {}
        return dg.AssetSpec(
            key=_key(data),
            deps=[self.key_of(upstream) for upstream in data.upstream],
            group_name=group,
            description=_description(data),
            kinds=_kinds(data),
            owners=_owners(
                data.settings.owner if isinstance(data, _WithSettings) else None,
                getattr(obj, "owner", ""),
                tags.get("owner"),
            ),
            tags={key: value for key, value in tags.items() if _is_dagster_tag(key, value)},
            metadata=self._metadata(data),
            partitions_def=data.partitions if isinstance(data, _Partitioned) else None,
            freshness_policy=_freshness_policy(data),
        )

    def spec_of(self, data: FeastTranslatorData) -> dg.AssetSpec:
        """What :meth:`get_asset_spec` returns for an object; called once per object."""
        # The record is kept beside its spec, so that no other record can get its id.
        found = self._specs.get(id(data))
        if found is None:
            found = self._specs[id(data)] = (data, self.get_asset_spec(data))
        return found[1]

    def key_of(self, data: FeastTranslatorData) -> dg.AssetKey:
        """The key that :meth:`get_asset_spec` gives an object."""
        return self.spec_of(data).key

    def column_lineage(self, data: FeastObjectData) -> dg.TableColumnLineage:
        """Column lineage of `data`, with the keys that this translator gives."""
        return dg.TableColumnLineage(
            {
                column: [
                    dg.TableColumnDep(asset_key=self.key_of(origin), column_name=name)
                    for origin, name in origins
                ]
                for column, origins in data.lineage.items()
            }
        )

    @cached_property
    def _specs(self) -> dict[int, tuple[FeastTranslatorData, dg.AssetSpec]]:
        return {}

    def _metadata(self, data: FeastTranslatorData) -> dict[str, Any]:
        metadata: dict[str, Any] = {"feast/project": data.project.name}
        if not isinstance(data, FeastObjectData):
            return metadata | {"feast/registry": configured_address(data.project.config)}
        metadata["feast/name"] = data.name
        if data.columns:
            metadata["dagster/column_schema"] = dg.TableSchema(columns=list(data.columns))
        if data.lineage:
            metadata["dagster/column_lineage"] = self.column_lineage(data)
        if isinstance(data, SourceData):
            metadata |= _source_metadata(data.obj)
        if isinstance(data, FeatureViewData | RefusedViewData):
            metadata |= _view_metadata(data.obj)
        # Dagster restricts the characters of a tag, Feast does not: no tag is dropped.
        odd_tags = {
            key: value
            for key, value in (getattr(data.obj, "tags", None) or {}).items()
            if not key.startswith(PREFIX) and not _is_dagster_tag(key, value)
        }
        if odd_tags:
            metadata["feast/tags"] = odd_tags
        return metadata | _code_references(data)


def op_name(key: dg.AssetKey) -> str:
    """A name for the op of an asset: Dagster takes ASCII letters, digits and underscores.

    Keys that differ only in other characters still get different names.
    """
    plain = "__".join(key.path)
    name = re.sub(r"[^A-Za-z0-9_]", "_", plain)
    if name == plain:
        return name
    return f"{name}_{hashlib.sha256(plain.encode()).hexdigest()[:6]}"


def _key(data: FeastTranslatorData) -> dg.AssetKey:
    project = _key_part(data.project.name)
    if isinstance(data, RegistryData):
        return dg.AssetKey([project, "registry"])
    name = data.name
    if isinstance(data, SourceData):
        name = _without_path(name, data.project.repo_dir)
    return dg.AssetKey([project, _FOLDERS[data.kind], _key_part(name)])


def _without_path(name: str, repo_dir: Path) -> str:
    """The last part of a source's key. Feast names a source without a name by its path.

    Folders are kept: ``eu/stats.parquet`` and ``asia/stats.parquet`` are two sources.
    """
    if "/" not in name:
        return name
    path = name.partition("://")[2] or name.removeprefix(f"{repo_dir}/")
    return path.rstrip("/*").removesuffix(".parquet").replace("/", "_")


def _key_part(name: str) -> str:
    # Dagster makes output names from keys, and takes ASCII letters only; accents are removed.
    plain = unicodedata.normalize("NFKD", name)
    ascii_name = "".join(char for char in plain if not unicodedata.combining(char))
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", ascii_name).strip("_") or "unnamed"


def _description(data: FeastTranslatorData) -> str:
    text = _DESCRIPTIONS[data.kind]
    if isinstance(data, OnDemandViewData) and not data.filled:
        text = "Read from the online store, not computed at the time of a request."
    if isinstance(data, SourceData) and data.project.sql_file(data.name):
        text = "One window of the source table: built by the repo's SQL."
    # A report describes itself, not the object it is about.
    if isinstance(data, FeastObjectData) and not isinstance(data, _Report):
        text = str(getattr(data.obj, "description", "") or "") or text
    match data:
        case SourceData(refusal=str(why)):
            return f"{text}\n\nCannot be read: {why}."
        case RefusedViewData() | RefusedDriftData() | OnDemandViewData():
            return f"{text}\n\nCannot be materialized: {data.refusal}."
        case SkewData(refusal=str(why)):
            return f"{text}\n\nCannot be materialized: {why}."
        case FeatureServiceData(refusal=str(why)):
            return f"{text}\n\nCannot be served: {why}."
    return text


_DESCRIPTIONS = {
    "source": "One window of the source table, built elsewhere; read and profiled here.",
    "registry": "The Feast registry: `feast apply` of the repo's definitions.",
    "feature_view": "Puts one window of the source online.",
    "on_demand_feature_view": "Computed at request time; nothing to materialize.",
    "feature_service": "The features one model asks for.",
    "drift": "Each feature of the window against its reference: the weeks before it, unless the "
    "settings say otherwise.",
    "skew": "What the service serves against what its training sets hold, for the same keys at the "
    "same moment.",
    "training_set": "The service's features as of each entity row: an immutable snapshot, its "
    "manifest, and what changed since the version before.",
}


def _kinds(data: FeastTranslatorData) -> set[str]:
    config = data.project.config
    match data:
        case SourceData():
            return {"feast", str(config.offline_store.type).rsplit(".", 1)[-1].lower()[:32]}
        case FeatureViewData():
            return {"feast", str(config.online_store.type).rsplit(".", 1)[-1].lower()[:32]}
        # Dagster's graph shows the last part of a key, which these share with their subject.
        case DriftData() | RefusedDriftData() | SkewData():
            return {"feast", data.kind}
        case TrainingSetData():
            return {"feast", "training set"}
        case FeatureServiceData():
            return {"feast", "service"}
    return {"feast"}


def _owners(*candidates: str | None) -> list[str] | None:
    """The first candidate that is not empty; Dagster takes e-mail addresses and teams."""
    owner = next((each.strip() for each in candidates if each and each.strip()), None)
    if owner is None:
        return None
    if _EMAIL.match(owner) or owner.startswith("team:"):
        return [owner]
    return [f"team:{owner}"]


def _is_dagster_tag(key: str, value: str) -> bool:
    """Whether a Feast tag is shown as a tag in Dagster; our own are settings."""
    allowed = _TAG_KEY.match(key) and _TAG_VALUE.match(value)
    return bool(allowed) and not key.startswith(PREFIX)


def _freshness_policy(data: FeastTranslatorData) -> dg.FreshnessPolicy | None:
    """For every view that can be materialized; reports and snapshots follow their views."""
    if not isinstance(data, FeatureViewData):
        return None
    require_cron(data.name, data.settings)
    return dg.FreshnessPolicy.time_window(fail_window=promise(data.settings))


def _view_metadata(view: Any) -> dict[str, Any]:
    return {
        "feast/ttl": _duration(view.ttl) if view.ttl else "none: values never expire",
        "feast/entities": [name for name in view.entities if name != _NO_ENTITY],
        "feast/online": view.online,
    }


def _duration(span: timedelta) -> str:
    """``7 days``, ``1 day 12 hours``."""
    seconds = round(span.total_seconds())
    parts = []
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"


def _source_metadata(source: Any) -> dict[str, Any]:
    table, query = _table_and_query(source)
    metadata: dict[str, Any] = {
        "dagster/table_name": table,
        "feast/timestamp_field": source.timestamp_field,
        "feast/source_type": type(source).__name__,
    }
    if query:
        metadata["feast/query"] = dg.MetadataValue.md(f"```sql\n{query}\n```")
    if source.created_timestamp_column:
        metadata["feast/created_timestamp_column"] = source.created_timestamp_column
    if source.field_mapping:
        metadata["feast/field_mapping"] = dict(source.field_mapping)
    return metadata


def _table_and_query(source: Any) -> tuple[str, str | None]:
    """The table's name or path; and the query if the source is one."""
    if path := getattr(source, "path", None):
        return str(path), None
    try:
        text = str(source.get_table_query_string())
    except NotImplementedError:
        return str(source.name), None
    if text.startswith("("):
        return str(source.name), text[1:-1]
    return text.strip('`"'), None


def _code_references(data: FeastObjectData) -> dict[str, Any]:
    """Where the object is defined: a source's SQL if the repo builds it, else its Python."""
    project = data.project
    if isinstance(data, SourceData) and (sql := project.sql_file(data.name)):
        path, line, label = sql, 1, "the SQL that builds it"
    else:
        # A report is not defined anywhere; the object it is about is.
        kind = data.kind
        if isinstance(data, _Report):
            kind = "feature_view" if data.kind == "drift" else "feature_service"
        location = project.code_location(kind, data.name)
        if location is None:
            return {}
        path, line, label = location.path, location.line, "its definition"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        reference = dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=label)
        return {
            "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])
        }
