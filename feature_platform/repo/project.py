"""A Feast repo on disk: its configuration, its definitions, and its SQL and suite files."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import create_registry_with, prepare_online_store_with
from feature_platform.errors import MissingPackageError, RepoError, first_line
from feature_platform.online.stores import backend_of, prepare_online_store
from feature_platform.registry.registry_files import make_registry_object
from feature_platform.registry.registry_locks import creation_lock
from feature_platform.registry.registry_time_outs import answer_in_time, connect_in_time
from feature_platform.repo.code_locations import CodeLocation, Definitions
from feature_platform.repo.inference import inferred, with_all_keys
from feature_platform.repo.missing_packages import how_to_install, missing_package
from feature_platform.repo.repo_files import definition_files
from feature_platform.repo.repo_import import as_feast_would, import_repo

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore, FeatureView
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig
    from feast.repo_contents import RepoContents

# What a registry, or an offline store without a warehouse, imports first; and its extra.
_PACKAGES = {
    "postgres": (("psycopg",), "postgres"),
    "duckdb": (("ibis", "duckdb"), ""),
    "gs": (("google.cloud.storage",), "gcp"),
    "s3": (("boto3",), "aws"),
}
# Feast's function that imports the class which a section's type names.
_CONFIG_CLASSES = {
    "online_store": "get_online_config_from_type",
    "offline_store": "get_offline_config_from_type",
    "batch_engine": "get_batch_engine_config_from_type",
}
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class FeastProject:
    """A Feast feature repo and one of its profiles.

    Args:
        repo_dir: The folder that holds ``feature_store.yaml``.
        profile: ``p`` reads ``feature_store.p.yaml``; None reads ``feature_store.yaml``.

    Raises:
        RepoError: The folder or the profile does not exist.
    """

    def __init__(self, repo_dir: str | os.PathLike[str], profile: str | None = None) -> None:
        self.repo_dir = Path(repo_dir).expanduser().resolve()
        self.profile = profile
        if not self.repo_dir.is_dir():
            raise RepoError(
                f"feature repo '{repo_dir}'",
                f"there is no folder {self.repo_dir}",
                "give the folder that holds feature_store.yaml",
            )
        if not self.config_path.is_file():
            raise self._no_config()

    def __repr__(self) -> str:
        return f"FeastProject({str(self.repo_dir)!r}, profile={self.profile!r})"

    def __reduce__(self) -> tuple[type, tuple[str, str | None]]:
        return type(self), (str(self.repo_dir), self.profile)

    @property
    def config_path(self) -> Path:
        """The YAML file of the profile."""
        name = f"feature_store.{self.profile}.yaml" if self.profile else "feature_store.yaml"
        return self.repo_dir / name

    @property
    def profiles(self) -> list[str]:
        """The named profiles of the folder, sorted."""
        return sorted(
            path.name.split(".")[1] for path in self.repo_dir.glob("feature_store.*.yaml")
        )

    @property
    def name(self) -> str:
        """Feast's name of the project."""
        return str(self.config.project)

    @cached_property
    def config(self) -> "RepoConfig":
        """The profile as Feast reads it, with relative SQLite paths resolved against the repo.

        Raises:
            RepoError: The YAML is broken, not a Feast configuration, or names unset variables.
            MissingPackageError: A configured store needs a package that is not installed.
        """
        import yaml

        text = self.config_path.read_text()
        try:
            raw = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            problem = getattr(error, "problem", error)
            raise self._invalid(f"is not YAML{where} ({problem})") from error
        if not isinstance(raw, dict) or "project" not in raw:
            raise self._invalid("names no project", f"add 'project: <name>' to {self.config_path}")
        if unset := self.unset_variables():
            plural = "s" if len(unset) > 1 else ""
            raise self._invalid(
                f"needs the environment variable{plural} {', '.join(unset)}",
                "export them, or choose another profile",
            )
        self._require_packages(raw)
        return self._load_config(raw)

    def _invalid(self, problem: str, remedy: str = "") -> RepoError:
        subject = f"configuration '{self.config_path.name}'"
        return RepoError(subject, problem, remedy or f"correct {self.config_path}")

    def _load_config(self, raw: Mapping[str, Any]) -> "RepoConfig":
        os.environ.setdefault("FEAST_USAGE", "False")
        from feast.errors import FeastError
        from feast.repo_config import FeastConfigError, load_repo_config

        try:
            with as_feast_would(self.repo_dir, self.config_path):
                config = load_repo_config(self.repo_dir, self.config_path)
                # Feast validates a store's options when they are first read.
                _ = config.online_store, config.offline_store, config.registry
                _ = config.batch_engine
        except (FeastError, FeastConfigError, ValueError, TypeError, ImportError) as error:
            if lacking := self._without_package(raw, error):
                raise lacking from error
            raise self._invalid(f"Feast refuses it: {first_line(error)}") from error
        _anchor_registry(config, self.repo_dir)
        return config

    def _without_package(self, raw: Mapping[str, Any], error: Exception) -> Exception | None:
        """The error for the store or engine whose driver is not installed; None if none lacks it.

        Feast does not say which section of the configuration it was reading.
        """
        from feast import repo_config

        for section, name in _CONFIG_CLASSES.items():
            kind = _kind(raw.get(section))
            try:
                if kind:
                    getattr(repo_config, name)(kind)
            except Exception as found:  # noqa: BLE001 - a module may raise anything
                if package := missing_package(found):
                    return MissingPackageError(
                        f"configuration '{self.config_path.name}'",
                        f"{section} '{kind}' needs the package {package}, which is not installed",
                        f"{how_to_install(package, found, kind)}, or choose another {section}",
                    )
        if package := missing_package(error):
            return MissingPackageError(
                f"configuration '{self.config_path.name}'",
                f"it needs the package {package}, which is not installed",
                how_to_install(package, error),
            )
        return None

    def unset_variables(self) -> list[str]:
        """Environment variables that the profile uses and that are not set, in order."""
        lines = (line.split("#", 1)[0] for line in self.config_path.read_text().splitlines())
        names = (a or b for line in lines for a, b in _VARIABLE.findall(line))
        return [name for name in dict.fromkeys(names) if name not in os.environ]

    @cached_property
    def contents(self) -> "RepoContents":
        """The objects that the repo's Python files define, completed from local tables.

        The registry is not read.

        Raises:
            RepoError: A file cannot be imported, or two objects of a kind share a name.
        """
        _ = self.config  # raises first if the configuration is broken
        contents = import_repo(self.repo_dir, self.config_path, self.name)
        for views in (contents.feature_views, contents.stream_feature_views):
            views[:] = [inferred(view, contents.entities, self.config) for view in views]
        return contents

    def store(self) -> "FeatureStore":
        """A new Feast ``FeatureStore`` on this configuration."""
        from feast import FeatureStore

        address = str(self.config.registry.path)
        if address.startswith("sqlite:///"):
            # Feast creates the folder of a file registry, but SQLite does not create its own.
            Path(address.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        # Without repo_path Feast resolves a file registry against the working directory.
        store = FeatureStore(repo_path=str(self.repo_dir), config=self.config.model_copy(deep=True))

        connect_in_time(store.config)

        def create_alone(create: Callable[[], Any]) -> Any:
            with creation_lock(store):
                make_registry_object(store)
                registry = create()
            answer_in_time(registry)
            return registry

        create_registry_with(store, create_alone)
        prepare_online_store_with(store, prepare_online_store)
        return store

    @cached_property
    def views(self) -> "Mapping[str, FeatureView]":
        """Feature views, batch and stream, by name, with all their join keys."""
        found = [*self.contents.feature_views, *self.contents.stream_feature_views]
        return {
            view.name: with_all_keys(view, self.contents.entities)
            for view in sorted(found, key=lambda view: str(view.name))
        }

    @cached_property
    def sources(self) -> "Mapping[str, DataSource]":
        """The batch sources of the views, by name."""
        read = filter(None, map(source_of, self.views.values()))
        return {source.name: source for source in sorted(read, key=lambda source: source.name)}

    @cached_property
    def services(self) -> "Mapping[str, FeatureService]":
        """Feature services by name."""
        return {service.name: service for service in self.contents.feature_services}

    def view(self, name: str) -> "FeatureView":
        """The feature view of that name.

        Raises:
            RepoError: There is none; the nearest names are in the message.
        """
        try:
            return self.views[name]
        except KeyError:
            near = get_close_matches(name, self.views, n=3) or sorted(self.views)[:5]
            raise RepoError(
                f"feature view '{name}'",
                f"project '{self.name}' does not define it",
                f"choose one of: {', '.join(near) or '(the repo has none)'}",
            ) from None

    def sql_file(self, source: str) -> Path | None:
        """The SQL that builds a source table, ``sql/<source>.sql``; None if there is none."""
        path = self.repo_dir / "sql" / f"{source}.sql"
        return path if path.is_file() else None

    def suite_file(self, source: str) -> Path | None:
        """A source's expectation suite, ``expectations/<source>.json`` or ``.yaml``, or None."""
        found = [path for path in self._suite_files if path.stem == source]
        if len(found) > 1:
            raise RepoError(
                f"source '{source}'",
                f"has {len(found)} suites: {', '.join(path.name for path in found)}",
                "keep one of them",
            )
        return found[0] if found else None

    @cached_property
    def _suite_files(self) -> Sequence[Path]:
        """All suites.

        Raises:
            RepoError: One is named after no source, so it would silently never run.
        """
        found = sorted(
            path
            for path in (self.repo_dir / "expectations").glob("*")
            if path.suffix in (".json", ".yaml", ".yml")
        )
        for path in found:
            if path.stem not in self.sources:
                near = get_close_matches(path.stem, self.sources, n=1) or sorted(self.sources)
                raise RepoError(
                    f"expectation suite '{path.relative_to(self.repo_dir)}'",
                    f"project '{self.name}' has no source '{path.stem}'",
                    f"name it after one of: {', '.join(near)}",
                )
        return found

    def code_location(self, kind: str, name: str) -> CodeLocation | None:
        """Where an object is defined; see `Definitions.find`."""
        return self._definitions.find(kind, name)

    @cached_property
    def _definitions(self) -> Definitions:
        return Definitions.read(definition_files(self.repo_dir))

    def _require_packages(self, raw: Mapping[str, Any]) -> None:
        from feature_platform.sources.warehouses import warehouse_named

        for section in ("offline_store", "online_store", "registry"):
            chosen, kind = raw.get(section), _kind(raw.get(section))
            if section == "registry":
                address = chosen.get("path", "") if isinstance(chosen, dict) else str(chosen or "")
                kind = "postgres" if address.startswith("postgresql") else address.split(":")[0]
            modules, extra = _PACKAGES.get(str(kind), ((), ""))
            if section == "online_store":
                backend = backend_of(str(kind))
                modules, extra = backend.packages, backend.extra
            elif section == "offline_store" and (warehouse := warehouse_named(str(kind))):
                modules, extra = warehouse.packages, warehouse.extra
            for module in modules:
                if not _installed(module):
                    package = f"feature-platform[{extra}]" if extra else "feature-platform"
                    raise MissingPackageError(
                        f"configuration '{self.config_path.name}'",
                        f"{section} '{kind}' needs the package {module}, which is not installed",
                        f"pip install '{package}'",
                    )

    def _no_config(self) -> RepoError:
        if self.profile is None:
            return RepoError(
                f"feature repo '{self.repo_dir}'",
                "it has no feature_store.yaml",
                "give the folder that holds it",
            )
        near = get_close_matches(self.profile, self.profiles, n=1) or self.profiles
        return RepoError(
            f"profile '{self.profile}'",
            f"{self.repo_dir} has no {self.config_path.name}",
            f"choose one of: {', '.join(near) or '(none; feature_store.yaml is the default)'}",
        )


def source_of(view: "FeatureView") -> "DataSource | None":
    """The batch source a view reads; None for a derived view, which writes to its source."""
    return None if getattr(view, "source_views", None) else view.batch_source


def sources_of(view: "FeatureView") -> "list[DataSource]":
    """The batch sources of a view's rows: its own, or those of all its parents."""
    parents = getattr(view, "source_views", None)
    if not parents:
        return [view.batch_source] if view.batch_source is not None else []
    found = {source.name: source for parent in parents for source in sources_of(parent)}
    return list(found.values())


def _anchor_registry(config: "RepoConfig", repo_dir: Path) -> None:
    """Resolve a relative SQLite registry against the repo; Feast uses the working directory."""
    prefix = "sqlite:///"
    registry = config.registry
    path = getattr(registry, "path", "")
    if path.startswith(prefix) and not path.startswith(f"{prefix}/") and path != prefix:
        file = repo_dir / path.removeprefix(prefix)
        registry.path = f"{prefix}{file}"


def _kind(section: Any) -> str:
    """The type that a section of the configuration chooses; empty if it takes the default."""
    return str((section.get("type") if isinstance(section, dict) else section) or "")


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
