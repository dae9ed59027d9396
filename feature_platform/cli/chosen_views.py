"""The feature views that a command is about."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from feature_platform.errors import RepoError

if TYPE_CHECKING:
    from feature_platform.orchestration.graph.feast_graph import FeastGraph


def choose_views(graph: "FeastGraph", names: Sequence[str]) -> list[str]:
    """The named views, or every view that can be materialized.

    Raises:
        RepoError: A view is unknown or cannot be materialized, or there is none at all.
    """
    from feature_platform.orchestration.graph.translator_data import FeatureViewData

    possible = list(graph.materializable)
    for name in names:
        known = graph.views.get(name) or graph.on_demand_views.get(name)
        if known is None:
            graph.project.view(name)
        elif not isinstance(known, FeatureViewData):
            others = ", ".join(sorted(possible)) or "(the repo has no other)"
            change = "" if getattr(known.obj, "online", True) else "define it with online=True, or "
            raise RepoError(
                f"feature view '{name}'",
                f"cannot be materialized: {known.refusal}",
                f"{change}choose one of: {others}",
            )
    chosen = list(names) or possible
    if not chosen:
        raise RepoError(
            f"project '{graph.project.name}'",
            "has no feature view that can be materialized",
            "define one with a batch source and online=True",
        )
    return chosen
