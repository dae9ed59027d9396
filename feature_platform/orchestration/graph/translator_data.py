"""One record per kind of object in a Feast repo, from which its asset spec is made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import dagster as dg

from feature_platform.repo.inference import type_name
from feature_platform.repo.project import FeastProject
from feature_platform.repo.view_settings import ViewSettings

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
Lineage = Mapping[str, Sequence[tuple["FeastTranslatorData", str]]]


@dataclass(frozen=True, kw_only=True)
class FeastTranslatorData:
    """One object of a Feast repo. Each kind has a subclass: switch on it, or on `kind`.

    Attributes:
        kind: What the object is.
        name: Its Feast name; for a raw table the dotted name in the SQL.
        project: The repo it belongs to.
        upstream: The objects it depends on.
    """

    kind: ClassVar[ObjectKind]
    name: str
    project: FeastProject
    upstream: "Sequence[FeastTranslatorData]" = ()


@dataclass(frozen=True, kw_only=True)
class RawTableData(FeastTranslatorData):
    """A table that the SQL of a source reads."""

    kind: ClassVar[ObjectKind] = "raw_table"


@dataclass(frozen=True, kw_only=True)
class RegistryData(FeastTranslatorData):
    """The Feast registry."""

    kind: ClassVar[ObjectKind] = "registry"
    name: str = "registry"


@dataclass(frozen=True, kw_only=True)
class FeastObjectData(FeastTranslatorData):
    """An object that Feast defines, or a report or snapshot of one.

    Attributes:
        obj: The Feast object.
        columns: Its columns, with Feast's name of their types.
        lineage: For each column, the columns of upstream objects it is made from.
    """

    obj: Any
    columns: "Sequence[dg.TableColumn]" = ()
    lineage: Lineage = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SourceData(FeastObjectData):
    """A batch source; `refusal` is why it cannot be read, None if it can."""

    kind: ClassVar[ObjectKind] = "source"
    partitions: dg.TimeWindowPartitionsDefinition
    refusal: str | None = None


@dataclass(frozen=True, kw_only=True)
class FeatureViewData(FeastObjectData):
    """A feature view that can be materialized; `settings` are its ``dagster/...`` tags."""

    kind: ClassVar[ObjectKind] = "feature_view"
    settings: ViewSettings
    partitions: dg.TimeWindowPartitionsDefinition

    @property
    def sources(self) -> Sequence[SourceData]:
        """The source tables its rows come from: several if it has several parents."""
        return [each for each in self.upstream if isinstance(each, SourceData)]


@dataclass(frozen=True, kw_only=True)
class RefusedViewData(FeastObjectData):
    """A feature view that cannot be materialized; `refusal` is why."""

    kind: ClassVar[ObjectKind] = "feature_view"
    settings: ViewSettings
    refusal: str


@dataclass(frozen=True, kw_only=True)
class OnDemandViewData(FeastObjectData):
    """An on-demand feature view.

    Attributes:
        refusal: Why it cannot be materialized.
        filled: Whether it is computed at request time; else it is read from the online store.
    """

    kind: ClassVar[ObjectKind] = "on_demand_feature_view"
    refusal: str = "it is computed at request time"
    filled: bool = True


@dataclass(frozen=True, kw_only=True)
class FeatureServiceData(FeastObjectData):
    """A feature service; `refusal` is why it cannot be served from what runs here write."""

    kind: ClassVar[ObjectKind] = "feature_service"
    refusal: str | None = None


@dataclass(frozen=True, kw_only=True)
class DriftData(FeastObjectData):
    """The drift report of a feature view, which is its `obj`; `source` holds what is compared."""

    kind: ClassVar[ObjectKind] = "drift"
    settings: ViewSettings
    partitions: dg.TimeWindowPartitionsDefinition
    source: SourceData

    @property
    def blocking(self) -> bool:
        """Whether a window that has drifted is not served."""
        return self.settings.drift == "block"


@dataclass(frozen=True, kw_only=True)
class RefusedDriftData(FeastObjectData):
    """The drift report of a feature view whose drift cannot be measured; `refusal` is why."""

    kind: ClassVar[ObjectKind] = "drift"
    settings: ViewSettings
    refusal: str


@dataclass(frozen=True, kw_only=True)
class SkewData(FeastObjectData):
    """The skew report of a feature service, its `obj`; `refusal` is why nothing is comparable."""

    kind: ClassVar[ObjectKind] = "skew"
    refusal: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingSetData(FeastObjectData):
    """The training set of a feature service, its `obj`; made as a whole without partitions."""

    kind: ClassVar[ObjectKind] = "training_set"
    partitions: dg.TimeWindowPartitionsDefinition | None = None


AnyViewData = FeatureViewData | RefusedViewData
AnyDriftData = DriftData | RefusedDriftData


def table_columns(fields: Iterable[Any]) -> list[dg.TableColumn]:
    """Feast fields as columns of a Dagster table."""
    return [
        dg.TableColumn(
            name=field.name,
            type=type_name(field.dtype),
            description=getattr(field, "description", "") or None,
            tags=dict(field.tags or {}),
        )
        for field in fields
    ]
