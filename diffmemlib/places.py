"""Where things lie on disk: each place is a folder that an environment variable may name.

Without a variable, places lie in the checkout that the library is imported from; of an installed library, in the
current folder. An empty variable counts as not set, and ``~`` is the home folder.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


class CheckoutNeededError(ValueError):
    """What was asked for lives in a checkout of the repository, and the library was imported from elsewhere."""


@cache
def checkout() -> Path | None:
    """Return the root of the checkout that this library is imported from; None for an installed library."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "book" / "claims.toml").is_file() and (root / "_toc.yml").is_file() else None


def checkout_root(what: str) -> Path:
    """Return the root of the checkout.

    Parameters
    ----------
    what
        What needs it, as the subject of the error's sentence.

    Raises
    ------
    CheckoutNeededError
        Where the library is installed and not imported from a checkout.
    """
    root = checkout()
    if root is None:
        raise CheckoutNeededError(
            f"{what} needs a checkout of the repository: clone it, and run the same command at its root"
        )
    return root


def results_dir() -> Path:
    """Return the store of results: $DIFFMEM_RESULTS, else ``results``."""
    return _place("DIFFMEM_RESULTS", "results")


def checkpoints_root() -> Path:
    """Return the folder of the states of unfinished runs: $DIFFMEM_CHECKPOINTS, else ``checkpoints``."""
    return _place("DIFFMEM_CHECKPOINTS", "checkpoints")


def data_dir() -> Path:
    """Return the folder of prepared data sets: $DIFFMEM_DATA, else ``data``."""
    return _place("DIFFMEM_DATA", "data")


def config_dir() -> Path:
    """Return the folder of the tables of runs: $DIFFMEM_CONFIG, else ``config``.

    Raises
    ------
    CheckoutNeededError
        Where the library is installed and the variable is not set.
    """
    if not os.environ.get("DIFFMEM_CONFIG"):
        checkout_root("A table of runs (config/<tier>.toml)")
    return _place("DIFFMEM_CONFIG", "config")


def output_dir() -> Path:
    """Return the folder of logs, executed notebooks and benchmarks: ``executed``."""
    return (checkout() or Path.cwd()) / "executed"


def book_tier() -> str | None:
    """Return the tier that the pages are drawn at, $DIFFMEM_TIER; None: of each figure the highest that is stored."""
    return os.environ.get("DIFFMEM_TIER") or None


def place_variable(path: Path) -> str | None:
    """Return the environment variable that names the place in which a path lies; None for any other path."""
    places = {"DIFFMEM_RESULTS": results_dir, "DIFFMEM_CHECKPOINTS": checkpoints_root, "DIFFMEM_DATA": data_dir}
    return next((name for name, place in places.items() if Path(path).absolute().is_relative_to(place())), None)


def typed_path(text: Path | str, what: str) -> Path:
    """Return the absolute path that a user typed, ``~`` being a home folder.

    Parameters
    ----------
    text
        As typed.
    what
        What it is, as the subject of an error's sentence.

    Raises
    ------
    ValueError
        Where it is empty, or the home folder of a user that does not exist.
    """
    if text == "" or (isinstance(text, Path) and str(text) == "."):  # Path("") is "."
        raise ValueError(f"{what} is empty, or the current folder itself (a variable that is not set?): give a name")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{what}, {text}, cannot be found ({error})") from None


def shown(path: Path) -> Path:
    """Return a path as it is shown to a user: from the current folder, where it lies in it.

    Parameters
    ----------
    path
        An absolute path.
    """
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _place(variable: str, name: str) -> Path:
    named = os.environ.get(variable)
    return typed_path(named, variable) if named else (checkout() or Path.cwd()) / name
