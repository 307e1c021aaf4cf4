"""Command line: python -m diffmemlib bench | claims | picture."""

from __future__ import annotations

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command()
def bench() -> None:
    """Time the library against direct ways of doing the same."""
    from .bench import table

    typer.echo(table())


@app.command()
def claims() -> None:
    """Print the claims table, computed from the stored results."""
    from .claims import load, table

    typer.echo(table(load())[["id", "ours [95%]", "agrees if", "verdict"]].to_string(index=False))


@app.command()
def picture() -> None:
    """Draw the picture of the README and the first page from the stored results."""
    from .estimators.gmm import sweep_n
    from .figures.gmm import quality_and_memory
    from .runs import ROOT

    path = ROOT / "book" / "_static" / "two-times.png"
    quality_and_memory(sweep_n())[0].savefig(path)
    typer.echo(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    app()
