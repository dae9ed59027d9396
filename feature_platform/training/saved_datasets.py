"""Training sets as saved datasets in Feast's registry."""

from datetime import datetime
from typing import TYPE_CHECKING

from feature_platform.registry.registry_writes import change_registry

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.training.training_set import TrainingSet

_FILE_STORES = ("dask", "duckdb", "file")


def register(store: "FeatureStore", training_set: "TrainingSet") -> str | None:
    """Register the snapshot as the saved dataset of its service, or service and partition.

    ``store.get_saved_dataset(name)`` then reads the newest version, which is in its tags. The
    result is its name; None if the offline store reads no files, or the training set has no row
    (Feast requires its first and last time).
    """
    from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
    from feast.saved_dataset import SavedDataset

    manifest = training_set.snapshot.manifest
    rows = manifest["entity_rows"]
    kind = str(store.config.offline_store.type)
    reads_files = kind in _FILE_STORES or kind.startswith("feature_platform.")
    if not reads_files or not rows["first"]:
        return None
    service = store.get_feature_service(training_set.service)
    partition = manifest["partition"]
    name = f"{service.name}@{partition}" if partition else str(service.name)
    dataset = SavedDataset(
        name=name,
        features=[
            f"{projection.name_to_use()}:{each.name}"
            for projection in service.feature_view_projections
            for each in projection.features
        ],
        join_keys=list(rows["keys"]),
        storage=SavedDatasetFileStorage(str(training_set.snapshot.data.resolve())),
        tags={"version": training_set.version, "entity_rows": rows["sha256"]},
        feature_service_name=service.name,
    )
    dataset.min_event_timestamp = datetime.fromisoformat(rows["first"])
    dataset.max_event_timestamp = datetime.fromisoformat(rows["last"])
    apply = store.registry.apply_saved_dataset
    change_registry(store, lambda: apply(dataset, store.project, commit=True))
    return name
