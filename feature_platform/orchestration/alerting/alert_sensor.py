"""The sensor that turns Dagster's events into messages."""

import hashlib
import json
import os
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from feature_platform.alerts.desk import Delivered, open_desk
from feature_platform.alerts.messages.incidents import Subject
from feature_platform.alerts.outbox import OutboxState
from feature_platform.alerts.route_file import AlertPlan
from feature_platform.orchestration.alerting.alert_events import Watched, read_findings
from feature_platform.orchestration.alerting.ended_incidents import Lives
from feature_platform.orchestration.alerting.tick_failures import tick_findings
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator, op_name
from feature_platform.orchestration.graph.translator_data import FeastTranslatorData
from feature_platform.orchestration.validation.check_declarations import remedies
from feature_platform.orchestration.watch.ticking import TICK, Ticking


def build_alert_sensor(
    plan: AlertPlan,
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    assets: Sequence[dg.AssetsDefinition | dg.AssetSpec],
    checks: Sequence[dg.AssetChecksDefinition],
    *,
    ticking: Sequence[Ticking] = (),
) -> dg.SensorDefinition:
    """The alert sensor of one project.

    A tick reads the newest event and, if it is new, the new events of four kinds: checks, failed
    runs, freshness, and observations (automation gave up, a rebuild is due); then the newest tick
    of each other sensor and schedule. It stores the findings with how far it read, in one
    transaction, and sends what is due.
    """
    project = graph.project.name
    watched = watch(graph, translator, assets, checks)
    repo, profile = _shown(graph.project.repo_dir), graph.project.profile
    told = [each.subject(project, repo, profile) for each in ticking]
    by_asset = {about.asset: each for about, each in zip(told, ticking, strict=True)}
    defined = lives_of(graph, translator, assets, watched)
    definitions = definitions_options(project)
    subjects = {
        about.asset: replace(about, definitions=definitions)
        for about in (*watched.subjects.values(), *told)
    }

    @dg.sensor(
        name=alert_sensor_name(project),
        minimum_interval_seconds=max(1, int(plan.every.total_seconds())),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Sends alerts about {project} to the channels in {plan.file.name}.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        state = plan.state or state_file(Path(context.instance.root_directory), project)
        with open_desk(plan, subjects, state, context.log) as desk:
            if desk is None:
                return dg.SkipReason(f"another process is using {state}")
            now = datetime.now(UTC)
            lives = replace(defined, checks={*defined.checks, *_checks_of(context)})
            reading = read_findings(context.instance, desk.ledger, watched)
            ticks = tick_findings(context, by_asset, desk.ledger.latest(str(TICK)), now)
            desk.take_in(
                [*reading.findings, *ticks],
                reading.positions,
                now,
                settled=reading.settled,
                start_over=reading.start_over,
                over=lambda incident, scope: lives.over(desk.ledger, incident, scope, now),
            )
            lives.note(desk.ledger)
            # Only shown to people: the position that counts is stored with the findings.
            context.update_cursor(json.dumps({"event": reading.newest}))
            delivered = desk.deliver()
            opened = len(desk.ledger.open_incidents())
            return dg.SkipReason(_summary(opened, delivered, desk.outbox.state()))

    return alerts


def alert_sensor_name(project: str) -> str:
    """The name of a project's alert sensor in Dagster."""
    return f"{op_name(dg.AssetKey(project))}_alerts"


def state_file(home: Path, project: str) -> Path:
    """The file with the state of a project's alerts, unless the route file names another."""
    digest = hashlib.sha256(project.encode()).hexdigest()[:8]
    return home / "alerts" / f"{op_name(dg.AssetKey(project))}-{digest}.sqlite"


def watch(
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    assets: Sequence[dg.AssetsDefinition | dg.AssetSpec],
    checks: Sequence[dg.AssetChecksDefinition],
) -> Watched:
    """The assets of a project, with what messages say about them."""
    records = {
        translator.key_of(each): each
        for each in (
            graph.registry,
            *graph.sources.values(),
            *graph.views.values(),
            *graph.drifts.values(),
            *graph.skews.values(),
        )
    }
    known = [
        key
        for each in (*assets, *checks)
        if isinstance(each, dg.AssetsDefinition)
        for key in each.check_keys
    ]
    names: dict[dg.AssetKey, list[str]] = defaultdict(list)
    for key in known:
        names[key.asset_key].append(key.name)
    subjects: dict[str, Subject] = {}
    keys: dict[str, dg.AssetKey] = {}
    for asset in assets:
        specs = [asset] if isinstance(asset, dg.AssetSpec) else list(asset.specs)
        for spec in specs:
            name = "/".join(spec.key.path)
            keys[name] = spec.key
            subject = _subject(spec, graph, translator, records.get(spec.key))
            subjects[name] = replace(subject, remedies=remedies(subject.kind, names[spec.key]))
    return Watched(subjects=subjects, keys=keys, checks=known)


def lives_of(
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    assets: Sequence[dg.AssetsDefinition | dg.AssetSpec],
    watched: Watched,
) -> Lives:
    """What incidents of the project are about, as it is defined."""
    specs = [
        spec
        for asset in assets
        for spec in ([asset] if isinstance(asset, dg.AssetSpec) else asset.specs)
    ]
    ttls = {translator.key_of(view): view.obj.ttl for view in graph.materializable.values()}
    names = {spec.key: "/".join(spec.key.path) for spec in specs}
    return Lives(
        kinds={name: subject.kind for name, subject in watched.subjects.items()},
        checks={("/".join(key.asset_key.path), key.name) for key in watched.checks},
        promised={names[spec.key] for spec in specs if spec.freshness_policy is not None},
        partitions={
            names[spec.key]: spec.partitions_def
            for spec in specs
            if isinstance(spec.partitions_def, dg.TimeWindowPartitionsDefinition)
        },
        ttls={"/".join(key.path): ttl for key, ttl in ttls.items() if ttl},
    )


def _checks_of(context: dg.SensorEvaluationContext) -> Iterator[tuple[str, str]]:
    """The checks of the whole code location, where Dagster tells which that is."""
    repository = context.repository_def
    for key in repository.asset_graph.asset_check_keys if repository is not None else ():
        yield "/".join(key.asset_key.path), key.name


def _subject(
    spec: dg.AssetSpec,
    graph: FeastGraph,
    translator: DagsterFeastTranslator,
    record: FeastTranslatorData | None,
) -> Subject:
    project = graph.project
    folder = spec.key.path[-2] if len(spec.key.path) > 1 else "asset"
    kind = record.kind if record else folder.removesuffix("s")
    # The key of an asset without a record, such as a report, ends in the name of its object.
    name = record.name if record else spec.key.path[-1]
    if kind == "source":
        views = graph.readers.get(name, ())
    else:
        found = graph.materializable.get(name)
        views = [found] if found is not None else []
    owners = tuple(spec.owners) or tuple(
        dict.fromkeys(owner for view in views for owner in translator.spec_of(view).owners)
    )
    lengths = [view.settings.length for view in views]
    return Subject(
        asset="/".join(spec.key.path),
        project=project.name,
        kind=kind,
        name=name,
        owners=owners,
        tags=dict(spec.tags),
        views=tuple(view.name for view in views),
        # The longest: hourly views can take the windows of daily ones.
        partition=max(lengths, default=None),
        blocks=kind == "drift" and any(view.settings.drift == "block" for view in views),
        upstream=tuple("/".join(dep.asset_key.path) for dep in spec.deps),
        repo=_shown(project.repo_dir),
        profile=project.profile,
    )


def definitions_options(project: str) -> str | None:
    """Options that name the definitions that Dagster is loading; None if it is not loading any."""
    try:
        origin = LoadableTargetOrigin.get()
    except dg.DagsterInvariantViolationError:
        return None
    options: list[str] = []  # a defs folder is found from inside of its project
    if origin.python_file:
        options = ["-f", _shown(Path(origin.python_file))]
    elif module := origin.module_name or origin.package_name:
        options = ["-m", module]
    folder = origin.working_directory
    if options and folder and Path(folder).resolve() != Path.cwd():
        options += ["-d", folder]
    return shlex.join([*options, "--project", project])


def _shown(repo: Path) -> str:
    """The repo as commands name it: relative if it is below the working directory."""
    relative = os.path.relpath(repo)
    return str(repo) if relative.startswith("..") else relative


def _summary(opened: int, delivered: Delivered, outbox: OutboxState) -> str:
    pending = sum(outbox.pending.values())
    counts = f"{opened} incidents open, {delivered.messages} messages sent, {pending} waiting"
    failing = [f"'{name}' {why}" for name, why in {**outbox.failing, **delivered.failed}.items()]
    return f"{counts}; channel {', '.join(failing)}" if failing else counts
