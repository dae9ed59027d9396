"""How an object of a Feast repo appears in Dagster: one method over one record."""

import hashlib
import re
import unicodedata
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from feature_platform.orchestration.graph.cadence import promise, require_cron
from feature_platform.registry.registry_address import configured_address
from feature_platform.repo.project import FeastProject
from feature_platform.repo.view_settings import PREFIX, ViewSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

ObjectKind = Literal[
    "raw_table",
    "source",
    "registry",
    "feature_view",
    "on_demand_feature_view",
    "feature_service",
    "drift",
    "skew",
    "training_set",
]
_FOLDERS = {
    "source": "sources",
    "feature_view": "feature_views",
    "on_demand_feature_view": "feature_views",
    "feature_service": "feature_services",
    "drift": "drift",
    "skew": "skew",
    "training_set": "training_sets",
}
# Reports and snapshots are not the view or service, whose object they carry.
_ABOUT: "Mapping[ObjectKind, ObjectKind]" = {
    "drift": "feature_view",
    "skew": "feature_service",
    "training_set": "feature_service",
}
# What Feast calls the entity of a view without entities.
_NO_ENTITY = "__dummy"
_TAG_KEY = re.compile(r"^[\w.\-]{1,63}(/[\w.\-]{1,63})?$", re.ASCII)
_TAG_VALUE = re.compile(r"^[\w.\-]{0,63}$", re.ASCII)
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$")


@dataclass(frozen=True)
class FeastTranslatorData:
    """One object of a Feast repo, with what its asset spec is made of.

    Attributes:
        kind: What the object is.
        name: Its Feast name; for a raw table the dotted name in the SQL.
        project: The repo it belongs to.
        obj: The Feast object itself; None for the registry and for raw tables.
        upstream: The objects it depends on.
        settings: What its ``dagster/...`` tags say; None where tags mean nothing.
        partitions: Its partitions; None where it has none.
        refusal: Why it cannot be materialized; None where it can.
        columns: Its columns, with their types in Feast's or the source's own words.
        lineage: For each column, the columns of upstream objects it is made from.
    """

    kind: ObjectKind
    name: str
    project: FeastProject
    obj: Any = None
    upstream: "Sequence[FeastTranslatorData]" = ()
    settings: ViewSettings | None = None
    partitions: dg.TimeWindowPartitionsDefinition | None = None
    refusal: str | None = None
    columns: "Sequence[dg.TableColumn]" = ()
    lineage: "Mapping[str, Sequence[tuple[FeastTranslatorData, str]]]" = field(default_factory=dict)

    @property
    def sources(self) -> "Sequence[FeastTranslatorData]":
        """The source tables its rows come from: several where a view has several parents."""
        return [each for each in self.upstream if each.kind == "source"]


class DagsterFeastTranslator:
    """Turns an object of a Feast repo into a Dagster ``AssetSpec``.

    Subclass it and override :meth:`get_asset_spec` to change keys, groups, owners, tags, metadata
    or freshness: take ``super().get_asset_spec(data)`` and ``replace_attributes`` on it. Everything
    downstream follows, since dependencies are built through the same method.
    """

    def get_asset_spec(self, data: FeastTranslatorData) -> dg.AssetSpec:
        """The spec of one object; its key is what other objects depend on."""
        settings, obj = data.settings, data.obj
        # One group a project: with a second one the UI draws closed boxes instead of the graph.
        group = re.sub(r"\W", "_", data.project.name, flags=re.ASCII)
        if data.kind == "raw_table":
            return dg.AssetSpec(
                key=dg.AssetKey(data.name.split(".")),
                group_name=group,
                description="A raw table that the repo's SQL reads.",
                kinds={"table"},
            )
        return dg.AssetSpec(
            key=self._key(data),
            deps=[self.key_of(upstream) for upstream in data.upstream],
            group_name=group,
            description=_description(data),
            kinds=_kinds(data),
            owners=_owners(
                settings.owner if settings else None,
                getattr(obj, "owner", ""),
                (getattr(obj, "tags", None) or {}).get("owner"),
            ),
            tags=_tags(getattr(obj, "tags", None) or {}),
            metadata=self._metadata(data),
            partitions_def=data.partitions,
            freshness_policy=_freshness_policy(data),
        )

    def spec_of(self, data: FeastTranslatorData) -> dg.AssetSpec:
        """What :meth:`get_asset_spec` says of an object, asked once for each."""
        # The record is kept beside its spec, so that no other one can get its id meanwhile.
        found = self._specs.get(id(data))
        if found is None:
            found = self._specs[id(data)] = (data, self.get_asset_spec(data))
        return found[1]

    def key_of(self, data: FeastTranslatorData) -> dg.AssetKey:
        """The key that :meth:`get_asset_spec` gives an object."""
        return self.spec_of(data).key

    @cached_property
    def _specs(self) -> dict[int, tuple[FeastTranslatorData, dg.AssetSpec]]:
        return {}

    def _key(self, data: FeastTranslatorData) -> dg.AssetKey:
        if data.kind == "registry":
            return dg.AssetKey([_key_part(data.project.name), "registry"])
        name = data.name
        if data.kind == "source":
            name = _without_path(name, data.project.repo_dir)
        return dg.AssetKey([_key_part(data.project.name), _FOLDERS[data.kind], _key_part(name)])

    def _metadata(self, data: FeastTranslatorData) -> dict[str, Any]:
        obj = data.obj
        metadata: dict[str, Any] = {"feast/project": data.project.name}
        if data.kind != "registry":
            metadata["feast/name"] = data.name
        if data.columns:
            metadata["dagster/column_schema"] = dg.TableSchema(columns=list(data.columns))
        if data.lineage:
            metadata["dagster/column_lineage"] = self.column_lineage(data)
        if data.kind == "source":
            metadata |= _source_metadata(data)
        if data.kind == "feature_view":
            metadata |= {
                "feast/ttl": _duration(obj.ttl) if obj.ttl else "none: values never expire",
                "feast/entities": [name for name in obj.entities if name != _NO_ENTITY],
                "feast/online": obj.online,
            }
        odd_tags = {
            key: value
            for key, value in (getattr(obj, "tags", None) or {}).items()
            if not key.startswith(PREFIX) and not (_TAG_KEY.match(key) and _TAG_VALUE.match(value))
        }
        if odd_tags:
            # Dagster restricts the characters of a tag; Feast does not. Nothing is dropped.
            metadata["feast/tags"] = odd_tags
        defined_as = _ABOUT.get(data.kind, data.kind)
        location = data.project.code_location(defined_as, data.name)
        if data.kind == "registry":
            metadata["feast/registry"] = configured_address(data.project.config)
        elif sql := (data.project.sql_file(data.name) if data.kind == "source" else None):
            metadata["dagster/code_references"] = _code_reference(sql, 1, "the SQL that builds it")
        elif location:
            metadata["dagster/code_references"] = _code_reference(
                location.path, location.line, "its definition"
            )
        return metadata

    def column_lineage(self, data: FeastTranslatorData) -> dg.TableColumnLineage:
        """Column lineage of `data`, in terms of the keys this translator gives."""
        return dg.TableColumnLineage(
            {
                column: [
                    dg.TableColumnDep(asset_key=self.key_of(origin), column_name=name)
                    for origin, name in origins
                ]
                for column, origins in data.lineage.items()
            }
        )


def op_name(key: dg.AssetKey) -> str:
    """A name for the op of an asset: Dagster takes ASCII letters, digits and underscores.

    Keys that differ only in other characters still get different names.
    """
    plain = "__".join(key.path)
    name = re.sub(r"[^A-Za-z0-9_]", "_", plain)
    if name == plain:
        return name
    return f"{name}_{hashlib.sha256(plain.encode()).hexdigest()[:6]}"


def _without_path(name: str, repo_dir: Path) -> str:
    """A source without a name is called by its path in Feast: ``data/stats.parquet``.

    Folders stay part of it, since ``eu/stats.parquet`` and ``asia/stats.parquet`` are two sources.
    """
    if "/" not in name:
        return name
    path = name.partition("://")[2] or name.removeprefix(f"{repo_dir}/")
    return path.rstrip("/*").removesuffix(".parquet").replace("/", "_")


def _key_part(name: str) -> str:
    # Dagster makes names of outputs from keys, and takes ASCII letters alone; accents come off.
    plain = unicodedata.normalize("NFKD", name)
    ascii_name = "".join(char for char in plain if not unicodedata.combining(char))
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", ascii_name).strip("_") or "unnamed"


def _description(data: FeastTranslatorData) -> str:
    # A report says what it reports, not what the reported object is.
    own = "" if data.kind in _ABOUT else str(getattr(data.obj, "description", "") or "")
    default = {
        "source": "One window of the source table: built by the repo's SQL."
        if data.project.sql_file(data.name)
        else "One window of the source table, built elsewhere; read and profiled here.",
        "registry": "The Feast registry: `feast apply` of the repo's definitions.",
        "feature_view": "Puts one window of the source online.",
        "on_demand_feature_view": "Computed at request time; nothing to materialize.",
        "feature_service": "The features one model asks for.",
        "drift": "Each feature of the window against its reference: the weeks before it, unless "
        "the settings say otherwise.",
        "skew": "What the service serves against what its training sets hold, for the same keys at "
        "the same moment.",
        "training_set": "The service's features as of each entity row: an immutable snapshot, its "
        "manifest, and what changed since the version before.",
    }[data.kind]
    lines = [own or default]
    if data.refusal:
        verb = "read" if data.kind == "source" else "materialized"
        lines.append(f"Cannot be {verb}: {data.refusal}.")
    return "\n\n".join(lines)


_KINDS: "Mapping[ObjectKind, tuple[str, ...]]" = {
    "drift": ("drift",),
    "skew": ("skew",),
    "training_set": ("training set",),
    "feature_service": ("service",),
}


def _kinds(data: FeastTranslatorData) -> set[str]:
    config = data.project.config
    if data.kind == "source":
        return {"feast", str(config.offline_store.type).rsplit(".", 1)[-1].lower()[:32]}
    if data.kind == "feature_view" and not data.refusal:
        return {"feast", str(config.online_store.type).rsplit(".", 1)[-1].lower()[:32]}
    # Dagster's graph shows the last part of a key, which these share with what they are about.
    return {"feast", *_KINDS.get(data.kind, ())}


def _owners(*candidates: str | None) -> list[str] | None:
    """The first owner that somebody named; Dagster takes e-mail addresses and teams."""
    owner = next((each.strip() for each in candidates if each and each.strip()), None)
    if owner is None:
        return None
    if _EMAIL.match(owner) or owner.startswith("team:"):
        return [owner]
    return [f"team:{owner}"]


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in tags.items()
        if not key.startswith(PREFIX) and _TAG_KEY.match(key) and _TAG_VALUE.match(value)
    }


def _freshness_policy(data: FeastTranslatorData) -> dg.FreshnessPolicy | None:
    """For every view that can be materialized; reports and snapshots follow their views."""
    if data.kind != "feature_view" or data.settings is None or data.refusal:
        return None
    require_cron(data.name, data.settings)
    return dg.FreshnessPolicy.time_window(fail_window=promise(data.settings))


def _duration(span: timedelta) -> str:
    """``7 days``, ``1 day 12 hours``: as people say it, not as Python does."""
    seconds = round(span.total_seconds())
    said = []
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            said.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(said) or "0 seconds"


def _source_metadata(data: FeastTranslatorData) -> dict[str, Any]:
    source = data.obj
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
    """The table's name or path; and the query, where the source is one."""
    if path := getattr(source, "path", None):
        return str(path), None
    try:
        said = str(source.get_table_query_string())
    except NotImplementedError:
        return str(source.name), None
    if said.startswith("("):
        return str(source.name), said[1:-1]
    return said.strip('`"'), None


def _code_reference(path: Path, line: int, label: str) -> dg.CodeReferencesMetadataValue:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.CodeReferencesMetadataValue(
            code_references=[
                dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=label)
            ]
        )
