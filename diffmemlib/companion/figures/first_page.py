"""The first page's figure: samples beside their nearest training images while training goes on, for a few n."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd
from IPython.display import HTML
from PIL import Image

from ...runs.store import Result
from ...timescales.crossings import Timescale
from ..estimators.images import good, quality, tau_gen
from ..estimators.scaling import tau_mem
from .curves import copies
from .interactive import rounded

SHOWN = 12  # samples, of those that a run has kept
CURVES = ("f_mem", "loss_train", "loss_test")
STILL = "../_static/two-times.png"  # the same message, where there are no scripts
STILL_SHOWS = (
    "Curves of a Gaussian mixture, one for each number n of training points. The divergence falls at one training time "
    "for every n; the memorised fraction rises later for larger n, and at one time for all against time divided by n."
)


def sheet(images: np.ndarray) -> str:
    """(milestones, samples, 1, side, side) bytes as one picture, a row a milestone: a PNG as a data address."""
    milestones, samples, _, side, _ = images.shape
    picture = images[:, :, 0].transpose(0, 2, 1, 3).reshape(milestones * side, samples * side)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def told(results: Sequence[Result]) -> list[dict[str, object]]:
    """What the script needs of each run, by n: milestones, curves, both times, copies, and the pictures.

    A time that the run did not see is null; then its window is open on that side.
    """
    metric, runs = quality(results), []
    for result in sorted(results, key=lambda r: int(r.config["n"])):
        steps = result.samples["step"].tolist()
        runs.append(
            {
                "n": result.config["n"],
                "steps": steps,
                "distance": rounded(result.curve(metric)["value"].loc[steps], 4),
                **{name: rounded(result.curve(name)["value"].loc[steps], 4) for name in CURVES},
                "good": good(result, metric),
                "gen": seen(tau_gen([result])[0]),
                "mem": seen(tau_mem([result])[0]),
                "copied": copies(result)[:, :SHOWN].astype(int).tolist(),
                "samples": sheet(result.samples["samples"][:, :SHOWN]),
                "nearest": sheet(result.samples["nearest"][:, :SHOWN]),
            }
        )
    return runs


def curves(results: Sequence[Result]) -> pd.DataFrame:
    """The numbers behind the figure, one row a run and milestone."""
    names = [quality(results), *CURVES]
    tables = [
        pd.DataFrame({"n": r.config["n"], "step": r.samples["step"]}).assign(
            **{name: r.curve(name)["value"].loc[r.samples["step"]].to_numpy() for name in names}
        )
        for r in results
    ]
    return pd.concat(tables)


def seen(time: Timescale) -> float | None:
    """A time that was seen, in whole steps; None for a bound."""
    return float(round(time.tau)) if time.status == "interpolated" else None


def show(results: Sequence[Result]) -> HTML:
    """The figure as HTML; `first-page.js` fills it, and without scripts a still says the same."""
    data = json.dumps(told(results), separators=(",", ":")).replace("</", "<\\/")
    described = (
        "Samples of a diffusion model above the training images nearest to them, while training goes on. First they "
        "are noise, then new digits, then copies. With more training images the copies come later."
    )
    return HTML(
        f'<div class="live" id="first-page" role="figure" aria-label="{escape(described)}">'
        '<div class="controls" id="first-page-controls"></div>'
        '<p class="answer" id="first-page-answer" aria-live="polite"></p>'
        '<div class="gallery"></div><div class="charts">'
        '<figure><div data-chart="distance"></div></figure><figure><div data-chart="copies"></div></figure>'
        '<figure><div data-chart="losses"></div></figure></div>'
        f'<noscript><img src="{STILL}" alt="{escape(STILL_SHOWS)}" width="100%"></noscript></div>'
        f'<script type="application/json" id="first-page-data">{data}</script>'
        '<script src="../_static/live/chart.js"></script><script src="../_static/live/first-page.js"></script>'
    )
