"""The command line ``feature-platform``: a module of `commands` each, imported when it is used."""

from importlib import import_module

import click

_COMMANDS = (
    "backfill",
    "demo",
    "doctor",
    "drift",
    "materialize",
    "metrics",
    "plan",
    "rebuild-online",
    "status",
    "training-set",
)


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        name = f"{cmd_name.replace('-', '_')}_command"
        module = import_module(f"feature_platform.cli.commands.{name}")
        command: click.Command = module.command
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="feature-platform")
def main() -> None:
    """Any Feast feature repo as a Dagster asset graph.

    Settings come from your definitions (-f, -m, or those that the nearest pyproject.toml names),
    or from --repo for a repo without any. Exit code 0: all is well; 1: something is not; 2: the
    command could not be carried out, and the error says what to do.
    """
