"""Time-outs of SQL registries, which Feast makes without any."""

from typing import TYPE_CHECKING, Any

from feature_platform.online.deadline import TimeLimit

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig
    from sqlalchemy.engine import Engine

CONNECT_SECONDS = 10
ANSWER_SECONDS = 60.0
"""How long the database may take for one statement."""


def connect_in_time(config: "RepoConfig") -> None:
    """Let the registry's driver give up on a database that does not take a connection.

    What the configuration itself says about it is left as it is.
    """
    options = getattr(config.registry, "sqlalchemy_config_kwargs", None)
    if options is None or not str(config.registry.path).startswith(("postgres", "mysql")):
        return
    arguments = dict(options.get("connect_args") or {})
    arguments.setdefault("connect_timeout", CONNECT_SECONDS)
    options["connect_args"] = arguments


def answer_in_time(registry: Any) -> None:
    """Cut the connection of a SQL registry whose database does not answer a statement."""
    engines = {
        id(engine): engine
        for name in ("write_engine", "read_engine")
        if (engine := getattr(registry, name, None)) is not None
    }
    for engine in engines.values():
        if engine.dialect.name == "postgresql":
            _limit(engine)


def _limit(engine: "Engine") -> None:
    from sqlalchemy import event

    limits: dict[int, TimeLimit] = {}

    def begin(connection: Any, cursor: Any, *_statement: Any) -> None:
        driver = connection.connection.dbapi_connection
        if hasattr(driver, "fileno"):
            limits[id(cursor)] = TimeLimit(ANSWER_SECONDS, driver.fileno)

    def end(cursor: Any) -> None:
        if limit := limits.pop(id(cursor), None):
            limit.cancel()

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", lambda _, cursor, *_statement: end(cursor))
    # Its error stays the driver's: that of a connection which was lost.
    event.listen(
        engine, "handle_error", lambda error: end(getattr(error.execution_context, "cursor", None))
    )
