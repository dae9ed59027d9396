"""A driver that is not installed is told as that, not as a wrong configuration."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from feast import repo_config

from feature_platform.errors import MissingPackageError, RepoError

if TYPE_CHECKING:
    from worlds.samples import Sample

KINDS = {
    "online_store": repo_config.ONLINE_STORE_CLASS_FOR_TYPE,
    "offline_store": repo_config.OFFLINE_STORE_CLASS_FOR_TYPE,
    "batch_engine": repo_config.BATCH_ENGINE_CLASS_FOR_TYPE,
}
EVERY = [
    (section, kind) for section, kinds in KINDS.items() for kind in kinds if kind.count(".") < 2
]


def configured(make_repo: Callable[..., "Sample"], section: str, kind: str) -> "Sample":
    online = "" if section == "online_store" else "online_store: {type: sqlite, path: o.db}\n"
    return make_repo(
        {
            "feature_store.yaml": "project: p\nprovider: local\nregistry: r.db\n"
            f"entity_key_serialization_version: 3\n{online}{section}: {{type: {kind}}}\n"
        }
    )


@pytest.mark.parametrize(("section", "kind"), EVERY)
def test_every_type_of_feast_is_taken_or_names_the_package_and_its_installation(
    section: str, kind: str, make_repo: Callable[..., "Sample"]
):
    found: RepoError | MissingPackageError | None = None
    try:
        _ = configured(make_repo, section, kind).project.config
    except (RepoError, MissingPackageError) as error:
        found = error
    if isinstance(found, MissingPackageError):
        assert f"{section} '{kind}' needs the package " in found.problem
        assert found.remedy.startswith("pip install ")
    elif found is not None:  # a setting of the type is missing
        assert "Field required" in found.problem


@pytest.mark.parametrize(
    "kind",
    ["nowhere.at_all.MyOnlineStore", "feature_platform.plugin.GuardedSqliteOnlineStore"],
)
def test_a_misspelt_class_is_still_a_wrong_configuration(
    kind: str, make_repo: Callable[..., "Sample"]
):
    with pytest.raises(RepoError, match="Feast refuses it: Could not import module"):
        _ = configured(make_repo, "online_store", kind).project.config


def test_a_store_of_the_users_own_whose_driver_is_missing(
    make_repo: Callable[..., "Sample"], monkeypatch: pytest.MonkeyPatch
):
    sample = configured(make_repo, "online_store", "our_store.OurOnlineStore")
    (sample.repo / "our_store.py").write_text("import a_rare_driver.client\n")
    monkeypatch.syspath_prepend(str(sample.repo))
    with pytest.raises(MissingPackageError) as caught:
        _ = sample.project.config
    assert "our_store.OurOnlineStore' needs the package a_rare_driver" in caught.value.problem
    assert caught.value.remedy == "pip install a_rare_driver, or choose another online_store"


def test_definitions_that_need_a_driver_say_how_it_is_installed(make_repo: Callable[..., "Sample"]):
    sample = make_repo(
        {
            "features.py": "from feast.infra.offline_stores.contrib.trino_offline_store."
            "trino_source import TrinoSource\n"
        }
    )
    with pytest.raises(RepoError, match=r"features\.py:1: ") as caught:
        _ = sample.project.views
    assert caught.value.remedy.startswith("pip install trino, or correct the file")
