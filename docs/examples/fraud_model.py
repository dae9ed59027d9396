"""Train a small fraud model on a training set, and score with it what is served online.

The predictions of both paths are compared for the same keys at the same moment: they are equal to
the last bit, which is what "no training-serving skew" means. Run it after ``make demo``:

    .venv/bin/python docs/examples/fraud_model.py
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from feature_platform import FeastProject
from feature_platform.registry.windows_on_record import materialized_windows
from feature_platform.tables.raw_tables import raw_table_binder
from feature_platform.training.entity_rows import read_entity_rows
from feature_platform.training.training_set import build_training_set
from feature_platform.training.training_set_files import load_training_sets

SERVICE = "fraud_detection_v2"
HELD_OUT = 0.25


def main(repo: Path, out: Path) -> int:
    """Train, score, compare; 0 if no prediction differs."""
    project = FeastProject(repo)
    store = project.store()
    windows = materialized_windows(store, "user_transaction_features")
    if not windows:
        raise SystemExit("nothing is online yet: run `make demo` first")
    span = windows[-1]

    # One example a transaction of the windows that are online, each with what was known then.
    rows = load_training_sets(project)[SERVICE]
    entities = read_entity_rows(project, rows, span, bind=raw_table_binder(project))
    training = build_training_set(
        project, SERVICE, entities, out, origin=rows.origin, label=rows.label
    )
    frame = training.to_pandas()
    features = list(training.snapshot.manifest["features"])
    print(f"training set {training.version}: {len(frame)} rows, {frame[rows.label].sum()} frauds")

    # In order of time, as life will ask for it: learned from the past, tried on what came later.
    cut = int(len(frame) * (1 - HELD_OUT))
    model = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.05, random_state=0)
    model.fit(matrix(frame[:cut], features), frame[rows.label][:cut].to_numpy(bool))
    later = frame[cut:]
    if {True, False} <= set(later[rows.label]):
        scores = model.predict_proba(matrix(later, features))[:, 1]
        print(f"AUC on the last quarter: {roc_auc_score(later[rows.label], scores):.3f}")

    # Serving path and training path, for the same keys at the same moment: the end of the span.
    keys = frame[["user_id", "merchant_id"]].drop_duplicates().tail(500).reset_index(drop=True)
    served = store.get_online_features(
        features=store.get_feature_service(SERVICE), entity_rows=keys.to_dict("records")
    ).to_df()
    asked = keys.assign(event_timestamp=pd.Timestamp(span.end))
    trained = build_training_set(project, SERVICE, asked, out / "at-serving-time").to_pandas()
    online = model.predict_proba(matrix(served, features))[:, 1]
    offline = model.predict_proba(matrix(trained, features))[:, 1]
    differing = int((online.view(np.int64) != offline.view(np.int64)).sum())
    print(
        f"{len(online)} predictions ({len(np.unique(online))} different values), "
        f"online against offline: {differing} differ in any bit"
    )
    return 1 if differing else 0


def matrix(frame: pd.DataFrame, features: list[str]) -> npt.NDArray[np.float64]:
    """What the model is given: the features as doubles, a null as NaN."""
    return frame[features].astype("Float64").to_numpy(np.float64, na_value=np.nan)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repo", type=Path, default=Path("feature_repo"))
    parser.add_argument("--out", type=Path, default=Path("feature_repo/data/training_sets"))
    arguments = parser.parse_args()
    raise SystemExit(main(arguments.repo, arguments.out))
