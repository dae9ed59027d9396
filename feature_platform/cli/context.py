"""What commands share: the project, its definitions, and the Dagster instance they record in."""

from collections.abc import Sequence

from feature_platform.errors import RepoError
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator_data import FeatureViewData
from feature_platform.repo.project import FeastProject


def graph_and_views(
    repo: str, profile: str | None, start_date: str, views: Sequence[str]
) -> tuple[FeastGraph, list[str]]:
    """The repo's graph, and the views that a command is about; see `choose_views`.

    Raises:
        RepoError: The repo cannot be read, or a view is not one that can be materialized.
    """
    graph = FeastGraph(FeastProject(repo, profile), start_date)
    return graph, choose_views(graph, views)


def choose_views(graph: FeastGraph, names: Sequence[str]) -> list[str]:
    """The named views, or every one that can be materialized.

    Raises:
        RepoError: A view is unknown or cannot be materialized, or there is none at all.
    """
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
