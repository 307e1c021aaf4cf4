"""Command line: probe, phase; run, sweep, campaign, costs, data; bench, simulate; verify, claims and others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from .files import RunBusyError
from .places import typed_path

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)

Tier = Annotated[str, typer.Option(help="Which table of runs: smoke, laptop, gpu or paper.")]
TOO_LITTLE_MEMORY = "there is too little memory for this: ask for less of it, such as smaller images or batches"
EXTRAS = {"torchvision": "images", "PIL": "images", "mlxtend": "images", "pytorch_fid": "images", "matplotlib": "runs"}
Size = Annotated[
    int | None, typer.Option(help="Side that images are brought to, in pixels, a multiple of 4; 16 if not given.")
]
Grey = Annotated[bool, typer.Option("--grey", help="Turn colours to grey.")]
Column = Annotated[
    list[str] | None, typer.Option(help="Column of a table to use, or name of an array in a file; may be repeated.")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files that cannot be taken.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Trainings at once; one for each core, or one on a GPU, if not given.")
]
SIMULATIONS = {  # and how often
    "theory": 2048, "ridge": 8, "copying": 60, "coverage": 3000, "precision": 200, "prediction": 300,
}  # fmt: skip
Budget = Annotated[float | None, typer.Option(help="Seconds; the run then saves its state and ends.")]


@app.command()
def run(
    what: Annotated[
        str, typer.Argument(help="An experiment, such as gmm, or the id of a run in a table, such as 838e15c3e13d.")
    ],
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="A parameter of the experiment, as NAME=VALUE; may be repeated."),
    ] = None,
    tier: Tier = "laptop",
    device: Annotated[str, typer.Option(help='cpu, or cuda for a GPU that is free, or "cuda:1".')] = "cpu",
    budget: Budget = None,
) -> None:
    """Make one run, or continue it. Exit status 75 means that it is not finished and should be called again.

    With your own settings: diffmem run gmm -p tier=smoke -p n=64 -p seed=3

    A run of a table: diffmem run 838e15c3e13d --tier laptop

    Several GPUs for one run: torchrun --standalone --nproc-per-node 2 -m diffmemlib run ID --device cuda

    Under torchrun the status is 0 even if the run is not finished, since torchrun treats any other status as a failure.
    """
    from .experiments.registry import EXPERIMENTS, run as make
    from .runs.config import check_device
    from .runs.launch import launch

    with exit_on_user_error(resumes=True):
        check_device(device)
        _check_budget(budget)
        parameters = _parameters(parameter or [])
        if what in EXPERIMENTS:
            config = EXPERIMENTS[what].config.from_text({"tier": tier, **parameters})
        else:
            from .companion.sweeps.tables import table_runs

            if parameters:
                raise ValueError(f"{what!r} is no experiment that takes parameters: {', '.join(EXPERIMENTS)}")
            matching = [c for c in table_runs(tier, missing=False) if c.id == what]
            if not matching:
                raise ValueError(f"no run {what!r} in the tables of tier {tier}, and no experiment of this name")
            config = matching[0]
        raise typer.Exit(launch(make, config, device, budget))


def _check_budget(budget: float | None) -> None:
    if budget is not None and not budget >= 0:
        raise ValueError(f"--budget {budget:g} is negative or no number: give seconds, zero or more")


def _parameters(texts: list[str]) -> dict[str, str]:
    parameters = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise ValueError(f"-p {text}: give each parameter as -p NAME=VALUE")
        parameters[name] = value
    return parameters


@app.command()
def sweep(
    name: Annotated[str, typer.Argument(help="A sweep of config/<tier>.toml, such as mixture-n.")],
    tier: Tier = "laptop",
    together: Annotated[
        int, typer.Option(help="Largest number of mixture runs of one shape to train at once.", min=1)
    ] = 8,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    budget: Annotated[
        float | None, typer.Option(help="Seconds for each group, after which its state is saved.")
    ] = None,
) -> None:
    """Make the missing runs of a sweep, those of one shape together; the same command continues it.

    Exit status 1 means that a run diverged; the others are made all the same. Status 75 means: call it again.
    """
    from .companion.sweeps.tables import run_sweep
    from .runs.config import check_device
    from .runs.launch import UNFINISHED
    from .training.loop import DivergedError

    status = 0
    with exit_on_user_error(resumes=True):
        check_device(device)
        _check_budget(budget)
        for id, result in run_sweep(name, tier, together, device, budget):
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
    tier: Tier = "laptop",
    figure: Annotated[
        str | None, typer.Option(help="A figure of the paper, such as 9; all figures if not given.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda, where the steps are timed.")] = "cpu",
    list_: Annotated[bool, typer.Option("--list", help="Only list the missing runs: id and papermill line.")] = False,
) -> None:
    """Estimate what the missing runs will cost, in hours and in disk space."""
    from .companion.sweeps.costs import damaged, estimate, summary
    from .companion.sweeps.tables import table_runs, waiting
    from .runs.config import check_device_name

    with exit_on_user_error():
        check_device_name(device)
        runs = table_runs(tier, figure)
        waits = waiting(tier, figure)
        for sentence in waits:
            typer.echo(sentence, err=True)
        for sentence in damaged(runs):
            typer.echo(f"Damaged, and to be made again: {sentence}", err=True)
        if list_:
            typer.echo("\n".join(f"{c.id}  {c.command}" for c in runs))
            return
        nothing = "No other run can be made." if waits else "Nothing is missing: every run is stored."
        typer.echo(summary(runs, estimate(runs, device)) if runs else nothing)


@app.command()
def probe(
    source: Annotated[
        str, typer.Argument(help="A folder or zip of images, or a .npy, .npz, .safetensors, .csv, .tsv or .parquet.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report and for what was trained.")] = Path("report"),
    minutes: Annotated[float, typer.Option(help="Minutes of training, over all calls together.")] = 20.0,
    size: Size = None,
    grey: Grey = False,
    column: Column = None,
    skip_bad: SkipBad = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    workers: Workers = None,
    model_steps_per_second: Annotated[
        float, typer.Option(help="Training steps per second on your machine, for an answer in its minutes.")
    ] = 0.0,
    pilot: Annotated[
        str, typer.Option(help="Id of a stored run whose rate is used instead, if it was trained as the probe trains.")
    ] = "",
) -> None:
    """Predict how long a diffusion model can train on your data before it copies; the same command continues."""
    from .probe.command import probe as make
    from .runs.config import check_device

    with exit_on_user_error(resumes=True):
        check_device(device)
        make(
            source, out, minutes, size=size, grey=grey, columns=tuple(column or ()), skip_bad=skip_bad, device=device,
            workers=workers, tell=typer.echo, model_steps_per_second=model_steps_per_second, pilot=pilot,
        )  # fmt: skip


@app.command()
def phase(
    source: Annotated[str, typer.Argument(help="Your data: the same kinds as for probe.")],
    out: Annotated[Path, typer.Option(help="Folder for the diagram and for what was trained.")] = Path("phase"),
    widths: Annotated[str, typer.Option(help="Widths of the network, such as 8,16,32; three if not given.")] = "",
    sizes: Annotated[str, typer.Option(help="Numbers of training points, such as 32,64,128; four if not given.")] = "",
    minutes: Annotated[
        float | None,
        typer.Option(help="Minutes after which the command stops, with status 75; call it again to continue."),
    ] = None,
    steps: Annotated[int, typer.Option(help="Largest number of steps of one training.")] = 20_000,
    size: Size = None,
    grey: Grey = False,
    column: Column = None,
    skip_bad: SkipBad = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    workers: Workers = None,
) -> None:
    """Draw an (n, p) diagram: how many of your points each width needs so that good samples come before copies.

    The same command continues it.

    As a Slurm array, whose tasks share the trainings: sbatch --array=1-8 --wrap "python -m diffmemlib phase DATA"
    """
    from .probe.diagram import phase as make
    from .runs.config import check_device
    from .runs.launch import UNFINISHED

    with exit_on_user_error(resumes=True):
        check_device(device)
        _, again = make(
            source, out, _numbers(widths, "--widths"), _numbers(sizes, "--sizes"), minutes, steps=steps, size=size,
            grey=grey, columns=tuple(column or ()), skip_bad=skip_bad, device=device, workers=workers, tell=typer.echo,
        )  # fmt: skip
    if again:
        raise typer.Exit(UNFINISHED)


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"{option} {text}: give whole numbers with commas between, such as 16,32,64") from None


data = typer.Typer(no_args_is_help=True, help="Prepare data sets.")
app.add_typer(data, name="data")


@data.command()
def celeba(
    source: Annotated[str, typer.Argument(help="CelebA's folder img_align_celeba, or its zip.")],
    out: Annotated[Path, typer.Option(help="A file .npy; the image runs look for data/celeba-<size>.npy.")],
    size: Annotated[int, typer.Option(help="Side of an image, in pixels.")] = 32,
    count: Annotated[int, typer.Option(help="How many images the source holds.")] = 202_599,
) -> None:
    """Turn CelebA's images into one array of grey bytes with a manifest; the same command resumes."""
    from .data.celeba import prepare

    with exit_on_user_error(resumes=True):
        path = prepare(source, typed_path(out, "--out"), size, count)
        typer.echo(f"wrote {path} and {path.name}.json")


@data.command()
def images(
    source: Annotated[str, typer.Argument(help="A folder or zip of images.")],
    name: Annotated[str, typer.Option(help="What to call the data set, such as letters.")],
    size: Annotated[int, typer.Option(help="Side of an image, in pixels; a multiple of 4.")] = 32,
    skip_bad: SkipBad = False,
    most_pixels: Annotated[
        int, typer.Option(help="Largest number of pixels that a picture may have.", min=1)
    ] = 64_000_000,
    grey: Annotated[bool, typer.Option("--grey", help="Turn colours to grey, as the paper does.")] = False,
) -> None:
    """Turn images of your own into a data set that runs can name; the same command resumes."""
    from .data import own

    with exit_on_user_error(resumes=True):
        colour = False if grey else None
        path = own.prepare(source, name, size, skip_bad=skip_bad, most_pixels=most_pixels, colour=colour)
        typer.echo(f"wrote {path} and {path.name}.json\n{own.summary(name, size)}")


@data.command()
def letters(
    folder: Annotated[Path, typer.Argument(help="A folder for 1248 small PNG files.")],
) -> None:
    """Draw pictures of letters, to try out what you will do with your own images."""
    from .data.letters import draw_letters

    with exit_on_user_error():
        folder = typed_path(folder, "The folder for the letters")
        typer.echo(f"wrote {draw_letters(folder)} images to {folder}")


@data.command()
def ideographs(
    font: Annotated[Path, typer.Argument(help="A font that has Chinese characters, such as HanaMinA.ttf of Hanazono.")],
    folder: Annotated[Path, typer.Argument(help="A folder for 4000 small PNG files.")],
) -> None:
    """Draw pictures of Chinese characters: one sees at a glance whether a sample is a new character."""
    from .data.ideographs import draw_ideographs

    with exit_on_user_error():
        folder = typed_path(folder, "The folder for the characters")
        typer.echo(f"wrote {draw_ideographs(typed_path(font, 'The font'), folder)} images to {folder}")


@data.command()
def features() -> None:
    """Train the small network behind the digits' Frechet distance again, and write its weights."""
    from .experiments.digit_classifier import write
    from .metrics.digit_features import WEIGHTS

    with exit_on_user_error():
        typer.echo(f"{write():.1%} of the held-out digits named rightly; wrote {WEIGHTS.name}")


@app.command()
def bench(
    device: Annotated[str, typer.Option(help="cpu, or cuda for the paper's U-Net on a GPU.")] = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="File for the JSON; executed/bench-<device>.json if not given.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="Seconds after which no new timing starts; if not given, 60 on a GPU and no limit on a CPU.", min=0
        ),
    ] = None,
) -> None:
    """Time the library against straightforward implementations; print the results and write them as JSON."""
    from .bench.command import bench as measure_all
    from .files import check_writable
    from .places import output_dir
    from .runs.config import check_device

    with exit_on_user_error():
        kind = check_device(device).split(":")[0]
        path = output_dir() / f"bench-{kind}.json" if out is None else typed_path(out, "--out")
        check_writable(path)  # before the measuring, which takes minutes
        measure_all(device, path, seconds, typer.echo)


@app.command()
def campaign(
    out: Annotated[Path | None, typer.Option(help="Folder for its files, at most 8 of at most 16 MiB.")] = None,
    device: Annotated[str, typer.Option(help='cuda, "cuda:1", or cpu.')] = "cuda",
    minutes: Annotated[
        float, typer.Option(help="Length of the lease in minutes; the command ends within it, with every run saved.")
    ] = 8.0,
    resume: Annotated[Path | None, typer.Option(help="Folder of an earlier lease to continue from.")] = None,
    collect: Annotated[
        Path | None, typer.Option(help="Folder whose results are to be checked and stored; nothing is trained.")
    ] = None,
    tier: Tier = "gpu",
    room: Annotated[int, typer.Option(help="Largest size of all files together, in MiB.", min=1)] = 60,
) -> None:
    """Make the most of a lease of a GPU: checks, a benchmark and runs, which the next lease continues.

    In each lease: diffmem campaign --minutes 8 --out FOLDER [--resume FOLDER OF THE LAST]

    And at home: diffmem campaign --collect FOLDER
    """
    began = time.monotonic()
    from .campaign.command import campaign as make, collect as bring

    with exit_on_user_error():
        if collect is not None:
            bring(typed_path(collect, "--collect"), typer.echo)
            return
        before = None if resume is None else typed_path(resume, "--resume")
        if out is None and before is None:
            raise ValueError("--out is missing: name a folder for what the campaign leaves")
        folder = typed_path(out, "--out") if out else before
        assert folder is not None
        make(device, minutes, folder, tier, before, typer.echo, room, began)


@app.command()
def simulate(
    what: Annotated[str, typer.Argument(help="theory, ridge, copying, coverage, precision or prediction.")],
    count: Annotated[
        int | None,
        typer.Option(
            help="Number of points, ratios (ridge), samples (precision) or repetitions; the book's by default.",
            min=1,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the JSON; executed/<what>.json if not given.")] = None,
) -> None:
    """Test the book's methods where the truth is known; print the results and write them as JSON.

    theory: the spectrum and the learning curves, over a grid of ratios and times. ridge: weight decay against stopping
    in time, in the exact limit. copying: the measures of copying, on samples of which a known share are copies.
    coverage: how often each interval holds the truth. precision: samples drawn in float32, TF32 and bfloat16.
    prediction: how near the predictions of a probe come, by its trainings.
    """
    from .files import check_writable, to_json, write_atomic
    from .places import output_dir

    with exit_on_user_error():
        found: Any
        path = output_dir() / f"{what}.json" if out is None else typed_path(out, "--out")
        if what not in SIMULATIONS:
            raise ValueError(f"{what!r} is no simulation: choose {', '.join(SIMULATIONS)}")
        check_writable(path)  # before the simulation, which takes minutes
        count = count or SIMULATIONS[what]
        if what == "theory":
            from .bench.theory import theory_grid, theory_report as report

            found = theory_grid(count)
        elif what == "ridge":
            from .companion.ridge import ridge_grid, ridge_report as report

            found = ridge_grid(count)
        elif what == "copying":
            from .bench.copying import copying_grid, copying_report as report

            found = copying_grid(count)
        elif what == "precision":
            from .bench.precision import precision_report as report, precision_study

            found = precision_study(count)
        elif what == "prediction":
            from .companion.predictions import accuracy, accuracy_report as report

            found = accuracy(count)
        else:
            from .companion.coverage import coverage, coverage_report as report

            found = coverage(count)
        write_atomic(path, to_json(found))
        typer.echo(f"{report(found)}\nwrote {path.name}")


@app.command()
def verify(
    integrity: Annotated[
        bool,
        typer.Option("--integrity", help="Only whether each is whole, not whether it is the committed one."),
    ] = False,
    update: Annotated[bool, typer.Option("--update", help="Write the manifest anew, of what is stored now.")] = False,
) -> None:
    """Check every stored result, and that those of the repository are the ones that were committed."""
    from .experiments import registry  # noqa: F401 - whose settings names are checked against
    from .runs.verify import verify as check, write_manifest

    with exit_on_user_error():
        found = check()
        if update and not found.damaged:
            typer.echo(f"wrote {write_manifest().name}")
            found = check()
        typer.echo(found.lines())
    raise typer.Exit(1 if found.damaged or not (integrity or found.as_committed) else 0)


@app.command()
def claims() -> None:
    """Print the claims table, computed from the stored results."""
    with exit_on_user_error():
        from .companion.claims import load, table

        typer.echo(table(load())[["id", "ours [95%]", "agrees if", "verdict"]].to_string(index=False))


@app.command()
def picture() -> None:
    """Draw the picture of the README and the first page from the stored results."""
    from .places import checkout_root

    with exit_on_user_error():
        root = checkout_root("The picture of the README")
        from .companion.estimators.gmm import sweep_n
        from .companion.figures.curves import quality_and_memory

        path = root / "book" / "_static" / "two-times.png"
        quality_and_memory(sweep_n())[0].savefig(path)
        typer.echo(f"wrote {path.relative_to(root)}")


@app.command()
def rename_results(tier: Tier = "laptop") -> None:
    """Move stored results whose identity has changed, as when two settings are found to be one run."""
    from .companion.sweeps.rename import rename_results as rename

    with exit_on_user_error():
        moved = 0
        for before, now in rename(tier):
            moved += 1
            typer.echo(f"{before} is now {now}")
        typer.echo(f"{moved} results of tier {tier} moved")


@contextmanager
def exit_on_user_error(resumes: bool = False) -> Iterator[None]:
    """End with one sentence and status 1 on an error that the user can mend, and with 130 on Ctrl-C.

    Parameters
    ----------
    resumes
        Whether the same command goes on where it was interrupted, which is then said.
    """
    from .runs.store import ResultError  # not above: it brings torch, which --help can do without

    try:
        yield
    except KeyboardInterrupt:
        again = " Run the same command again to go on; what was trained or read is kept." if resumes else ""
        typer.echo(f"Interrupted.{again}", err=True)
        raise typer.Exit(130) from None
    except ModuleNotFoundError as error:
        if str(error.name).startswith("diffmemlib"):
            raise
        typer.echo(
            f"Error: this needs the package {error.name}, which is not installed: "
            f"pip install 'diffmemlib[{EXTRAS.get(str(error.name), 'all')}]'",
            err=True,
        )
        raise typer.Exit(1) from None
    except (ValueError, OSError, MemoryError, ResultError, RunBusyError, ArithmeticError, RecursionError) as error:
        typer.echo(f"Error: {_said(error) or TOO_LITTLE_MEMORY}", err=True)
        raise typer.Exit(1) from None
    except RuntimeError as error:
        if "alloc" not in str(error) and "out of memory" not in str(error):  # torch's, on a CPU and on a GPU
            raise
        typer.echo(f"Error: {TOO_LITTLE_MEMORY} ({str(error).splitlines()[0]})", err=True)
        raise typer.Exit(1) from None


def _said(error: BaseException) -> str:
    """What an error says, without the number that the system gives it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


if __name__ == "__main__":
    app()
