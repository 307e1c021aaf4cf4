"""Figures: what is drawn is what is in the table, on small results made here."""

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy.stats import norm

from diffmemlib.companion.estimators import scaling
from diffmemlib.companion.figures import curves, gmm, one_dimension
from diffmemlib.companion.figures.interactive import scrubber, show
from diffmemlib.companion.figures.names import Names
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.style import shades
from diffmemlib.experiments.one_dimension import BINS
from diffmemlib.experiments.registry import EXPERIMENTS
from diffmemlib.runs.store import Result, find_results
from diffmemlib.timescales.crossings import Timescale


def made(n: int, seed: int, tau_mem: float, complete: bool = True, steps: tuple[int, ...] = (10, 100, 1000, 10_000)):
    """A result whose f_mem is tau/(tau + 9 tau_mem), so that it crosses 0.1 at tau_mem."""
    tau = np.array(steps, float)
    f = tau / (tau + 9 * tau_mem)
    curves = pd.DataFrame({"step": steps, "metric": "f_mem", "value": f, "low": f - 0.01, "high": f + 0.02})
    provenance = {
        "command": f"papermill -p n {n} -p seed {seed}", "commit": "0123456789abcdef", "device": "a <device>",
        "threads": 1, "seconds": 30.0, "complete": complete,
    }  # fmt: skip
    return Result(None, {"n": n, "seed": seed, "tier": "smoke"}, curves, provenance)


def names(axis) -> list[str]:
    """What is written on the lines of a panel."""
    return [text.get_text() for artist in axis.artists if isinstance(artist, Names) for text in artist.texts]


def test_over_seeds_takes_mean_and_widest_interval():
    table = curves.over_seeds([made(8, 0, 100), made(8, 1, 300)], "f_mem", "n")
    row = table[table.step == 100].iloc[0]
    values = [100 / (100 + 900), 100 / (100 + 2700)]
    assert row["value"] == pytest.approx(np.mean(values))
    assert row["low"] == pytest.approx(min(values) - 0.01)
    assert row["high"] == pytest.approx(max(values) + 0.02)
    assert row["seeds"] == 2


def test_over_seeds_goes_on_with_those_that_do():
    longer = made(8, 0, 100)
    table = curves.over_seeds([made(8, 1, 300, steps=(10, 100)), longer], "f_mem", "n")
    curve = longer.curve("f_mem")
    assert table["step"].tolist() == curve.index.tolist()
    assert table["seeds"].tolist() == [2 if step <= 100 else 1 for step in curve.index]
    alone = table.set_index("step").loc[lambda t: t["seeds"] == 1, ["value", "low", "high"]]
    assert len(alone) > 0
    pd.testing.assert_frame_equal(alone, curve.loc[alone.index], check_names=False)


def test_times_table_holds_every_run_and_marks_censored_ones():
    runs = [made(8, 0, 100), made(8, 1, 1e9)]
    early = made(8, 2, 1e-3)
    for run in (*runs, early):
        run.config["samples"] = 10**9
    figure, table = curves.times([8, 8, 8], {"tau_mem": scaling.tau_mem([*runs, early])})
    assert table["status"].tolist() == ["interpolated", "censored", "at first point"]
    shown = [(line.get_marker(), line.get_markerfacecolor() == "none") for line in figure.axes[0].lines[:3]]
    assert shown == [("o", False), ("^", True), ("v", True)]
    assert names(figure.axes[0]) == [r"$\tau_\mathrm{mem}$"]


def test_regions_lie_between_the_mean_times_of_the_sizes_at_which_both_are_known():
    def at(*taus: float) -> list[Timescale]:
        return [Timescale(abs(tau), "interpolated" if tau > 0 else "censored") for tau in taus]

    sizes = [8, 8, 16, 32, 32, 64, 128]
    gen, mem = at(10, 40, 20, 30, -900, 30, 70), at(200, 200, 400, 800, 800, 1600, 50)
    figure, _ = curves.times(sizes, {"tau_gen": gen, "tau_mem": mem})
    axis = figure.axes[0]
    bottom, top = axis.get_ylim()
    # Of n = 32 one run never became good, 64 has no neighbour with it, and at 128 copies came first.
    edges = [(bottom, bottom), (20, 20), (200, 400), (top, top)]
    for region, low, high in zip(axis.collections, edges[:-1], edges[1:], strict=True):
        paths = [path.vertices for path in region.get_paths() if np.ptp(path.vertices[:, 0])]  # one size is no area
        corners = {(x, round(y, 6)) for path in paths for x, y in path}
        expected = {(x, round(y, 6)) for ys in (low, high) for x, y in zip((8, 16), ys, strict=True)}
        assert corners == expected
    assert [text.get_text() for text in axis.texts] == ["not good yet", "new samples", "copies appear"]
    assert all(text.xy[0] in (8, 16) for text in axis.texts), "each is named where it is"
    assert not curves.times(sizes, {"tau_mem": mem})[0].axes[0].collections
    apart = [8, 8, 32, 32, 64]
    figure, _ = curves.times(apart, {"tau_gen": at(10, 10, 10, -9, 10), "tau_mem": at(50, 50, 50, 90, 90)})
    assert not figure.axes[0].collections, "of sizes that are no neighbours there is no region"


def test_record_gives_provenance_and_the_data_back():
    table = pd.DataFrame({"tau": [10, 20], "value": [0.123456789, 1.0]})
    html = record([made(8, 0, 100), made(16, 3, 100, complete=False)], table, "fig").data
    for said in ("smoke", "2, 1 of them stopped early", "a &lt;device&gt;, 1 thread", "0, 3", "0:01:00 in all",
                 "0123456789", "papermill -p n 16 -p seed 3"):  # fmt: skip
        assert said in html
    data = base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])
    back = pd.read_csv(io.BytesIO(data))
    np.testing.assert_allclose(back["value"], table["value"], rtol=1e-4)


@pytest.mark.parametrize(("tau_mem", "top"), [(1e6, 0.2), (2500, 1.1 * (1 / 3.25 + 0.02)), (1, 1.0)])
def test_the_axis_of_the_memorised_fraction_ends_above_what_it_shows(tau_mem: float, top: float):
    """f_mem ends near 0.001, at 1/3.25 and near 1, its interval 0.02 above."""
    figure, _ = curves.quality_and_memory([made(8, 0, tau_mem)], metrics=["f_mem"])
    assert figure.axes[0].get_ylim()[1] == pytest.approx(top)


def test_a_scrubber_has_the_letters_of_the_text():
    figure = scrubber(go.Figure(go.Scatter(name="tau_mem")), [1], [0], [[{}]], titles=["psi_n = 1"], prefix="psi_n = ")
    html = show(figure.update_xaxes(title="tau"), "name", "what is seen").data
    assert figure.data[0].name == "τ<sub>mem</sub>"
    assert figure.layout.xaxis.title.text == "τ"
    assert figure.layout.title.text == figure.frames[0].layout.title.text == "ψ<sub>n</sub> = 1"
    assert '<label class="scrubber"><span>ψ<sub>n</sub> =</span> <output>1</output>' in html, "a slider that keys reach"
    assert len(figure.layout.sliders) == 0 and 'data-target="name" aria-label="ψn" aria-valuetext="1"' in html


def test_shades_grow_darker_with_size():
    colors = shades([512, 64, 256])
    brightness = [int(colors[n][1:3], 16) + int(colors[n][3:5], 16) + int(colors[n][5:], 16) for n in (64, 256, 512)]
    assert brightness == sorted(brightness, reverse=True) and len(set(brightness)) == 3


def test_a_size_has_one_colour_whatever_stands_beside_it():
    assert shades([64])[64] == shades([16, 64, 1024])[64] != shades([32, 64], "width")[64]
    assert shades([4], "psi_n")[4] == shades([2, 4, 32], "psi_n")[4]
    assert shades([32], "width")[32] == shades([8, 32, 512], "width")[32]
    assert shades([32, 64], "level")[64] == shades([16, 32], "level")[32], "others by their rank"


@pytest.mark.parametrize(
    ("experiment", "module", "options"), [("gmm", gmm, {}), ("one_dimension", one_dimension, {"start": 10})]
)
def test_scrubbers_hold_a_frame_for_every_milestone(experiment, module, options):
    run = find_results(EXPERIMENTS[experiment].config, "laptop")[0]
    if "start" in options:
        options = {"start": int(run.samples["step"][5])}
    figure = module.time_scrubber(run, **options)
    steps = [str(s) for s in run.samples["step"]]
    assert [f.name for f in figure.frames] == steps
    assert [s.args[0][0] for s in figure.layout.sliders[0].steps] == steps
    started = figure.frames[figure.layout.sliders[0].active]
    for trace, data in zip(started.traces, started.data, strict=True):
        assert tuple(figure.data[trace].x) == tuple(data.x)
    html = show(figure, "name", 'said "so"').data
    assert "_static/plotly.min.js" in html
    assert "cdn" not in html
    assert "said &quot;so&quot;" in html
    assert len(html) < 600_000


def test_the_drawn_network_has_all_parameters_of_the_network():
    from diffmemlib.companion.figures.network import residual_mlp
    from diffmemlib.nets.mlp import ResidualMLP

    net = ResidualMLP(d=4, width=16, blocks=2)
    figure, table = residual_mlp(net)
    assert table["parameters"].sum() == sum(p.numel() for p in net.parameters())
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert [t for t in texts if t.startswith("block")] == ["block 1", "block 2"]
    assert "Linear\n4 to 16" in texts and "Linear\n16 to 4" in texts and texts.count("Linear\n16 to 16") == 2


def test_the_distance_of_a_histogram_is_that_of_its_samples():
    """Against samples whose distance is known: of the population by chance alone, and of one mode, half of all."""
    run = find_results(EXPERIMENTS["one_dimension"].config, "laptop")[0]
    rng, mu = np.random.default_rng(0), run.config["mu"]
    centre = mu * rng.choice([-1, 1], (40, run.config["samples"]))
    x = centre + rng.standard_normal(centre.shape)
    one_mode = np.abs(centre[0]) + x[0] - centre[0]
    density = [np.histogram(row, BINS)[0] / row.size / np.diff(BINS) for row in (*x, one_mode)]
    stored = SimpleNamespace(config=run.config, samples={"density": np.array(density), "step": np.arange(41)})
    distance = one_dimension.total_variation(stored)
    assert distance[:40].mean() == pytest.approx(one_dimension.variation_by_chance(stored), rel=0.05)
    assert distance[40] == pytest.approx(0.5 - norm.cdf(-mu), abs=0.05)


def dots(axis) -> list[tuple[float, float]]:
    """Where a panel has single dots on its curves."""
    return [tuple(np.ravel(line.get_xydata())) for line in axis.lines if len(line.get_xdata()) == 1]


def test_a_dot_marks_where_a_curve_reaches_the_level():
    steps = tuple(int(s) for s in np.unique(np.geomspace(1, 100_000, 40).round()))
    runs = [made(n, seed, 5 * n, steps=steps) for n in (8, 32) for seed in (0, 1)]
    figure, _ = curves.quality_and_memory(runs, metrics=["f_mem"])
    left, right = figure.axes
    for n, (x, y), (scaled, level) in zip((8, 32), dots(left), dots(right), strict=True):
        assert (y, level) == (scaling.F_MEM, scaling.F_MEM)
        assert x == pytest.approx(5 * n * 9 * 0.02 / 0.98, rel=0.02) and scaled == pytest.approx(x / n)
    for run in runs:
        run.config["batch"] = 0  # of all points
    figure, _ = curves.compared({"some": runs}, ("scaled",))
    assert [x for x, _ in dots(figure.axes[0])] == pytest.approx([5 * 9 * 0.02 / 0.98] * 2, rel=0.02)


def test_a_curve_that_begins_beyond_the_level_or_never_comes_there_has_no_dot():
    figure, _ = curves.quality_and_memory([made(8, 0, 1), made(16, 0, 10**8)], metrics=["f_mem"])
    assert [dots(axis) for axis in figure.axes] == [[], []]
