"""The route file: one YAML file with the channels and the rules that choose among them."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from feature_platform.alerts.channels.base import Channel, WebAddress, from_environment
from feature_platform.alerts.channels.channel_types import AnyChannel
from feature_platform.alerts.channels.log import LogChannel
from feature_platform.alerts.messages.incidents import Finding
from feature_platform.alerts.messages.message import Places
from feature_platform.alerts.routes import LOG, PlacedRoute, Route
from feature_platform.core.config_files import (
    LOCATED,
    ConfigModel,
    Duration,
    OneOrMore,
    Text,
    invalid,
    nearest,
    read_config,
)
from feature_platform.errors import AlertError


@dataclass(frozen=True)
class AlertPlan:
    """The content of a route file.

    Attributes:
        file: The file.
        routes: Its rules, in order.
        channels: Its channels by name, the log among them.
        places: Where links lead.
        state: The file that stores incidents and messages; None for the default one, in
            ``DAGSTER_HOME``.
        deployment: The name that keeps incidents of this deployment apart from those of others in
            services that both send to; None for one made up and kept in that file.
        every: How often the event log is read.
    """

    file: Path
    routes: tuple[PlacedRoute, ...]
    channels: Mapping[str, Channel]
    places: Places
    state: Path | None
    deployment: str | None
    every: timedelta

    @cached_property
    def _secrets(self) -> tuple[str, ...]:
        fields = (value for channel in self.channels.values() for value in vars(channel).values())
        return tuple(each.get_secret_value() for each in fields if isinstance(each, SecretStr))

    def without_secrets(self, finding: Finding) -> Finding:
        """The finding, with any secret of a channel in its evidence replaced by ``***``."""
        evidence = finding.evidence
        for secret in self._secrets:
            clean: dict[str, Any] = {
                name: value.replace(secret, "***")
                for name, value in vars(evidence).items()
                if isinstance(value, str)
            }
            evidence = replace(evidence, **clean)
        return replace(finding, evidence=evidence)


def _channel_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        raise invalid("has an odd name", "use up to 40 letters, digits, dashes and underscores")
    return name


class _RouteFile(ConfigModel):
    channels: Mapping[
        Annotated[str, AfterValidator(_channel_name)], Annotated[AnyChannel, LOCATED]
    ] = Field(default_factory=dict)
    routes: OneOrMore[Route]
    ui: WebAddress | None = None
    runbooks: WebAddress = Places.runbooks
    state: Text | None = None
    deployment: Annotated[str, from_environment("the deployment's name", shortest=1)] | None = (
        Field(default=None, alias="deployment_env")
    )
    every: Duration = timedelta(seconds=30)

    @model_validator(mode="after")
    def _routes_lead_to_channels(self) -> Self:
        channels = {LOG: LogChannel(), **self.channels}
        for number, route in enumerate(self.routes):
            if not route.to:
                raise invalid("is empty", "name a channel", "routes", number, "to")
            for place, name in enumerate(route.to):
                if name not in channels:
                    raise invalid(
                        f"is '{name}', a channel that is not defined",
                        nearest(name, list(channels), "use one of "),
                        *("routes", number, "to", place),
                    )
                if route.group and not channels[name].takes_many:
                    raise invalid(
                        f"groups messages to '{name}', which takes one incident at a time",
                        f"remove it (PagerDuty groups alerts itself), or route '{name}' apart",
                        *("routes", number, "group"),
                    )
        return self


def load_alerts(path: str | Path, environment: Mapping[str, str] | None = None) -> AlertPlan:
    """Read and check a route file, and that its secrets are there.

    Args:
        path: The file.
        environment: Holds the secrets; the process's environment if left out.

    Raises:
        AlertError: Something is wrong in the file, at the line it names; or a secret is missing.
        MissingPackageError: A channel needs the extra ``alerts``.
    """
    file = Path(path)
    config = read_config(file, AlertError)
    found = config.check(_RouteFile, os.environ if environment is None else environment)
    return AlertPlan(
        file=file,
        routes=tuple(
            (config.line(("routes", number)), route) for number, route in enumerate(found.routes)
        ),
        channels=MappingProxyType({LOG: LogChannel(), **found.channels}),
        places=Places(found.ui, found.runbooks),
        state=file.parent / found.state if found.state else None,
        deployment=found.deployment,
        every=found.every,
    )
