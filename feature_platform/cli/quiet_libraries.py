"""Show only those warnings of libraries that are about the user's own files, one line each."""

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

# What these log below an error is about themselves: experimental features, their defaults.
_CHATTY = ("dagster", "feast", "great_expectations")
_THIS_PACKAGE = Path(__file__).parents[1]


@contextmanager
def only_about(folders: Sequence[Path]) -> Iterator[None]:
    """While a command runs, show Python's warnings only where they name a file in `folders`.

    A library's warning about its own experimental features, or about how this package calls it,
    helps nobody who types a command; one that points into the user's files does, once per place.
    With ``-W`` or ``PYTHONWARNINGS`` all of them are shown.

    Args:
        folders: The user's own; may grow meanwhile.
    """
    if sys.warnoptions:
        yield
        return
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
        text = " ".join(str(message).split())
        path = Path(filename)
        folder = next((each for each in folders if path.is_relative_to(each)), None)
        # A .venv, or a checkout of this package, may be inside.
        is_installed = "site-packages" in path.parts or path.is_relative_to(_THIS_PACKAGE)
        if folder is None or is_installed or (filename, lineno, text) in seen:
            return
        seen.add((filename, lineno, text))
        where = f"{path.relative_to(folder)}:{lineno}"
        click.echo(f"  {click.style('warning', fg='yellow')}  {where}: {text}", err=True)

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
