"""Of what libraries say on standard error, people see what is about their repo, in one line."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

# Below an error, these speak of themselves: experimental features, defaults of theirs.
_CHATTY = ("dagster", "feast", "great_expectations")


@contextmanager
def only_about(repo: Path) -> Iterator[None]:
    """While a command runs, show Python's warnings only where they name a file of the repo.

    A library that calls one of its own features experimental, or warns of how we call it, concerns
    nobody who types a command; what points into the repo's files does, once for each place. Who
    asks Python for warnings (``-W``, ``PYTHONWARNINGS``) gets all of them.
    """
    if sys.warnoptions:
        yield
        return
    folder = repo.expanduser().resolve()
    seen: set[tuple[str, int, str]] = set()

    def show(  # noqa: PLR0917 - as Python calls it
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del category, file, line
        said = (filename, lineno, " ".join(str(message).split()))
        path = Path(filename)
        is_installed = "site-packages" in path.parts  # in a .venv inside the repo
        if said in seen or is_installed or not path.is_relative_to(folder):
            return
        seen.add(said)
        where = f"{path.relative_to(folder)}:{lineno}"
        click.echo(f"  {click.style('warning', fg='yellow')}  {where}: {said[2]}", err=True)

    # Without a handler of their own, Python prints what they log.
    handlers = {name: logging.StreamHandler() for name in _CHATTY}
    with warnings.catch_warnings():
        warnings.showwarning = show
        for name, handler in handlers.items():
            handler.setLevel(logging.ERROR)
            logging.getLogger(name).addHandler(handler)
        try:
            yield
        finally:
            for name, handler in handlers.items():
                logging.getLogger(name).removeHandler(handler)
