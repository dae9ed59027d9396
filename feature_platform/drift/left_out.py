"""Which features are left out of a view's drift: by a tag, by ``drift.yaml``, by their type."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from feature_platform.errors import RepoError
from feature_platform.repo.inference import type_name
from feature_platform.repo.view_settings import PREFIX

if TYPE_CHECKING:
    from feast import FeatureView

    from feature_platform.drift.drift_settings import DriftSettings

TAG = f"{PREFIX}drift"
# Values with named parts: there is no distance between two of them.
_NO_STATISTICS = re.compile(r"\b(Struct|Map|ScalarMap)\b")


def left_out(view: "FeatureView", settings: "DriftSettings") -> Mapping[str, str]:
    """Why each feature that is left out is.

    Raises:
        RepoError: A tag or the settings name what is not there.
    """
    name = str(view.name)
    known = {str(each.name): each for each in view.features}
    named = settings.of(name).leave_out
    if name in settings.views:
        for feature in named:
            if feature not in known:
                near = get_close_matches(feature, known, n=1) or sorted(known)[:5]
                raise RepoError(
                    f"drift of feature view '{name}'",
                    f"leave_out names '{feature}', which is no feature of it",
                    f"choose one of: {', '.join(near)}",
                )
    found: dict[str, str] = {}
    for feature, each in known.items():
        tag = (each.tags or {}).get(TAG)
        if tag not in (None, "off"):
            raise RepoError(
                f"feature '{feature}' of feature view '{name}'",
                f"tag '{TAG}' is '{tag}'",
                "use off, or leave it out; warn and block are for whole views",
            )
        kind = type_name(each.dtype)
        if tag:
            found[feature] = f"its tag {TAG} is off"
        elif feature in named:
            found[feature] = "leave_out of the drift settings names it"
        elif _NO_STATISTICS.search(kind):
            found[feature] = f"its type {kind} has no statistics"
    return found
