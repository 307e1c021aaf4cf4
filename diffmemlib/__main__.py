"""Command line: python -m diffmemlib run | sweep | costs | data | bench | claims | picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from .files import RunBusyError

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command()
def sweep(
    name: Annotated[str, typer.Argument(help="A sweep of config/<tier>.toml, such as mixture-n.")],
    tier: Annotated[str, typer.Option(help="smoke, laptop, gpu or paper.")] = "laptop",
    together: Annotated[int, typer.Option(help="Mixture runs of one shape trained at once, at most.", min=1)] = 8,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    budget: Annotated[float | None, typer.Option(help="Seconds for each group; it then saves its state.")] = None,
) -> None:
    """Make the runs of a sweep that are missing, those of one shape together; the same command resumes.

    Ends with status 1 where a run diverged, once the others are made, and with 75 where it is to be called again.
    """
    from .reproduce import UNFINISHED
    from .runs import checked_device
    from .sweeps import make
    from .training import DivergedError

    status = 0
    with _said():
        checked_device(device)
        for id, result in make(name, tier, together, device, budget):
            if isinstance(result, DivergedError):
                status = 1
                typer.echo(f"{id}: {result}", err=True)
            elif result.provenance["complete"]:
                typer.echo(f"{id}: {result.provenance['seconds']:.0f} s")
            else:
                status = status or UNFINISHED
                typer.echo(f"{id}: stopped at step {result.provenance['last_milestone']} or later; its state is saved")
    raise typer.Exit(status)


@app.command()
def costs(
    tier: Annotated[str, typer.Option(help="smoke, laptop, gpu or paper.")] = "laptop",
    figure: Annotated[str | None, typer.Option(help="Of the paper, such as 9; all of them unless given.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda; where steps are timed.")] = "cpu",
    list_: Annotated[bool, typer.Option("--list", help="Only list them: identity and papermill line.")] = False,
) -> None:
    """Say what the runs that are missing will cost: hours and disk."""
    from .costs import estimate, summary
    from .reproduce import wanted

    with _said():
        runs = wanted(tier, figure)
        if list_:
            typer.echo("\n".join(f"{c.id}  {c.command}" for c in runs))
            return
        typer.echo(summary(runs, estimate(runs, device)) if runs else "Nothing is missing: every run is stored.")


@app.command()
def run(
    id: Annotated[str, typer.Argument(help="Of a run in the tier's tables: its twelve digits.")],
    tier: Annotated[str, typer.Option(help="smoke, laptop, gpu or paper.")] = "laptop",
    device: Annotated[str, typer.Option(help='cpu, or cuda for a GPU that is free, or "cuda:1".')] = "cpu",
    budget: Annotated[float | None, typer.Option(help="Seconds; the run then saves its state and ends.")] = None,
) -> None:
    """Make one run of the tables, or go on with it; ends with status 75 where it is to be called again.

    Several GPUs for one run: torchrun --standalone --nproc-per-node 2 -m diffmemlib run ID --device cuda

    There it ends with 0, whole or not, since torchrun takes anything else for a failure.
    """
    from .distributed import started_by_torchrun
    from .reproduce import run_here, run_notebook, wanted

    with _said():
        found = [c for c in wanted(tier, missing=False) if c.id == id]
        if not found:
            raise ValueError(f"no run {id!r} in the tables of tier {tier}")
        raise typer.Exit((run_here if started_by_torchrun() else run_notebook)(found[0], device, budget))


@contextmanager
def _said() -> Iterator[None]:
    """End with one sentence and status 1 on an error that the user can mend."""
    from .store import ResultError  # not above: it brings torch, which --help can do without

    try:
        yield
    except (ValueError, OSError, MemoryError, ResultError, RunBusyError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None


data = typer.Typer(no_args_is_help=True, help="Prepare data sets.")
app.add_typer(data, name="data")


@data.command()
def celeba(
    source: Annotated[Path, typer.Argument(help="CelebA's folder img_align_celeba, or its zip.")],
    out: Annotated[Path, typer.Option(help="A file .npy; the image runs look for data/celeba-<size>.npy.")],
    size: Annotated[int, typer.Option(help="Side of an image, in pixels.")] = 32,
    count: Annotated[int, typer.Option(help="How many images the source holds.")] = 202_599,
) -> None:
    """Turn CelebA's images into one array of grey bytes with a manifest; the same command resumes."""
    from .data.celeba import prepare

    with _said():
        path = prepare(source, out, size, count)
        typer.echo(f"wrote {path} and {path.name}.json")


@data.command()
def images(
    source: Annotated[Path, typer.Argument(help="A folder or zip of images.")],
    name: Annotated[str, typer.Option(help="What to call the data set, such as letters.")],
    size: Annotated[int, typer.Option(help="Side of an image, in pixels; a multiple of 4.")] = 32,
) -> None:
    """Turn images of your own into a data set that runs can name; the same command resumes."""
    from .data import own

    with _said():
        path = own.prepare(source, name, size)
        typer.echo(f"wrote {path} and {path.name}.json\n{own.summary(name, size)}")


@data.command()
def letters(
    folder: Annotated[Path, typer.Argument(help="A folder for 1248 small PNG files.")],
) -> None:
    """Draw pictures of letters, to try the way of one's own images with."""
    from .data.letters import draw_letters

    with _said():
        typer.echo(f"wrote {draw_letters(folder)} images to {folder}")


@data.command()
def features() -> None:
    """Train the small network behind the digits' Frechet distance again, and write its weights."""
    from .data.features import WEIGHTS, write

    typer.echo(f"{write():.1%} of the held-out digits named rightly; wrote {WEIGHTS.name}")


@app.command()
def bench(
    device: Annotated[str, typer.Option(help="cpu, or cuda for the paper's U-Net on a GPU.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="A file for JSON; else executed/bench-<device>.json.")] = None,
) -> None:
    """Time the library against direct ways of doing the same; print it, and write it as JSON."""
    from .bench import MODELS, table, together, together_table
    from .bench_images import measure, report
    from .files import to_json, write_atomic
    from .runs import ROOT, checked_device

    with _said():
        kind = checked_device(device).split(":")[0]
        found = measure(device)
        typer.echo(report(found))
        nets = [together(n, MODELS[kind], device=device) for n in (64, 256, 1024)]
        typer.echo("\n" + together_table(nets, f"on {found['device']}, {found['threads']} threads"))
        if kind == "cpu":
            typer.echo("\n" + table())
        path = out or ROOT / "executed" / f"bench-{kind}.json"
        write_atomic(path, to_json({"image": found, "together": nets}))
        typer.echo(f"\nwrote {path.name}")


@app.command()
def claims() -> None:
    """Print the claims table, computed from the stored results."""
    from .claims import load, table

    with _said():
        typer.echo(table(load())[["id", "ours [95%]", "agrees if", "verdict"]].to_string(index=False))


@app.command()
def picture() -> None:
    """Draw the picture of the README and the first page from the stored results."""
    from .estimators.gmm import sweep_n
    from .figures.curves import quality_and_memory
    from .runs import ROOT

    path = ROOT / "book" / "_static" / "two-times.png"
    with _said():
        quality_and_memory(sweep_n())[0].savefig(path)
        typer.echo(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    app()
