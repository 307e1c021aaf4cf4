# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What buys training time
#
# ```{index} ! learning rate
# ```
# ```{index} ! batch size
# ```
# ```{index} ! flow matching
# ```
#
# **What you will see.** You can train until copies appear, and no longer. Which settings move that moment: the learning
# rate, the batch, what the network predicts, its width, weight decay? Here each is changed alone, and its factor on
# both times is measured.
#
# **You need** the two times of [the mixture](mixture.ipynb). **Reading time**: eight minutes.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

from diffmemlib.companion.estimators import gmm, knobs, scaling
from diffmemlib.companion.figures import knobs as draw
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.tables import frame
from diffmemlib.companion.sweeps.tables import sweep_results

runs = sweep_results(knobs.SWEEP)
groups = knobs.by_change(runs)
base, c = groups[()], groups[()][0].config
table = knobs.factors()
named = table.set_index("name")


def number(value):
    """A number of the table, with two decimals where it is small, and what is far off as a bound."""
    if abs(value) >= 1000:
        return "> 1000" if value > 0 else "< -1000"
    if 0 < value < 0.005:
        return "< 0.01"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"


def compact(value):
    """A cell of the table: text as it is, an estimate as a number with its interval."""
    if value is None or isinstance(value, str):
        return value or "not reached"
    return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]"


def listed(names):
    """Names as a list in a sentence."""
    return "; ".join(names) if names else "none"


for key in ("width", "batch", "d", "samples"):
    glue(f"knobs-{key}", c[key], display=False)
glue("knobs-lr", f"{c['lr']:g}", display=False)
glue("knobs-runs", len(runs), display=False)
glue("knobs-changes", len(table), display=False)
glue("knobs-sizes", " and ".join(f"{n}" for n in sorted({r.config["n"] for r in runs})), display=False)
glue("knobs-pairs", int(table["runs"].max()), display=False)
glue("knobs-good", f"{knobs.KL_GOOD:g}", display=False)
glue("knobs-gaussian", f"{gmm.landmarks(base[0])['gaussian']:.2f}", display=False)
STRICT = 0.6  # nats


def side(e):
    """Whether an interval lies above 1 (1), below (-1) or around it (0)."""
    return (e.low > 1) - (e.high < 1)


stricter = knobs.factors(kl=STRICT).set_index("name")
both = [(name, loose, strict) for name, loose in zip(table["name"], table["window"], strict=True)
        if loose is not None and (strict := stricter.loc[name, "window"]) is not None]  # fmt: skip
moved = [name for name, loose, strict in both if side(loose) != side(strict)]
glue("knobs-strict", f"{STRICT:g}", display=False)
glue("knobs-strict-of", len(both), display=False)
glue("knobs-strict-same", len(both) - len(moved), display=False)
glue("knobs-strict-other", listed(moved), display=False)
best = [knobs.best_kl(r) for r in base]
glue("knobs-best", f"{min(best):.2f} to {max(best):.2f}", display=False)
glue("knobs-copies", f"{scaling.F_MEM:g}", display=False)

# %% [markdown]
# ## How it was measured
#
# The task is the mixture of two Gaussians in $d =$ {glue:text}`knobs-d` dimensions, and the network is the residual MLP
# of the paper with $W =$ {glue:text}`knobs-width`. It is trained as most people train, by Adam at {glue:text}`knobs-lr`
# in batches of {glue:text}`knobs-batch`, on $n =$ {glue:text}`knobs-sizes` points. This is the starting point. Each of
# {glue:text}`knobs-changes` changes is then made alone, with {glue:text}`knobs-runs` trainings in all. Most of their
# names explain themselves. With "predicting the velocity", the network has the target $e^{-t}\xi - \sqrt{\Delta_t}\,x_0$.
# With "labels", the network sees the class of each point, and its divergence is that of points and labels together;
# guidance then acts while sampling. With "loss of the noise", a network that predicts noise − data is trained on the
# error of the noise that this implies. With "noise on the data", fresh Gaussian noise of the standard deviation in its name is added to the training points
# at every step. Where small (or large) times are "drawn more often", their density falls as the inverse square root of
# the distance from that end of the schedule. A "frozen" noise is drawn once, together with its diffusion time, and kept
# for the whole training.
#
# A changed training is compared with the unchanged one on the same $n$, from the same seed, which has the same training
# points and, where the shape of the network allows it, the same first weights. The factor is the geometric mean over
# {glue:text}`knobs-pairs` such pairs, with a 95% interval. As everywhere in this book, $\tau_\mathrm{mem}$ is the time
# when {glue:text}`knobs-copies` of the samples are copies. The samples count as good, which defines
# $\tau_\mathrm{gen}$, when the nearest-neighbour estimate of their Kullback–Leibler divergence from the true
# distribution falls below {glue:text}`knobs-good` nat. (The page on [the mixture](mixture.ipynb) uses another
# estimator, the score gap, and another level, so its $\tau_\mathrm{gen}$ is not the same.) For comparison, a single
# Gaussian with the right mean and covariance has a divergence of {glue:text}`knobs-gaussian` nats, and the unchanged
# trainings reach {glue:text}`knobs-best` nats at their best. So the level is a loose one, which all of them pass. Does
# the choice of level decide which changes widen the window? We repeated the comparison at {glue:text}`knobs-strict`
# nats. Of the {glue:text}`knobs-strict-of` changes whose window is known at both levels, {glue:text}`knobs-strict-same`
# give the same answer at both: the interval of the factor lies on the same side of 1, or contains 1. The others are:
# {glue:text}`knobs-strict-other`.

# %% mystnb={"figure": {"caption": "The factor by which each change multiplies $\\tau_\\mathrm{gen}$, $\\tau_\\mathrm{mem}$ and their ratio, and the nats that it adds to the smallest divergence of a training, with 95% intervals. The rows are sorted by the factor on $\\tau_\\mathrm{mem}$, the smallest on top. Grey: the interval contains 1 (in the last column 0), so no change was seen. Not reached: at most one of the changed trainings reached that time. Arrow: the interval continues beyond the axis.", "name": "fig-knobs"}, "image": {"alt": "Four columns of dots with intervals, a row for each changed setting: factors on tau_gen, on tau_mem and on their ratio, and the difference of the smallest divergence. Rows are sorted by the factor on tau_mem."}} tags=["remove-input"]
figure, shown = draw.factors(table)
plt.show()

# %% tags=["remove-input"]
record(runs, shown, "knobs")

# %% [markdown]
# ## What it says
#
# **Later copies.** These changes delay the first copies: {glue:text}`knobs-mem-later`. These bring them forward:
# {glue:text}`knobs-mem-sooner`.
#
# **A wider window.** A change that slows everything down by the same factor buys nothing: the samples become good later
# too, and a step costs what it did before. What counts is the ratio of the two times. It grows with:
# {glue:text}`knobs-window-wider`. It shrinks with: {glue:text}`knobs-window-narrower`. And there is no window at all
# where the samples never become good: {glue:text}`knobs-never-good`.
#
# **Better samples.** The last column shows by how many nats a change raises or lowers the smallest divergence that a
# training reaches. That divergence becomes smaller with: {glue:text}`knobs-better`.
#
# **Another exponent?** Does a change alter how $\tau_\mathrm{mem}$ grows with $n$? The table has the exponent $a$ of
# $\tau_\mathrm{mem} \sim n^a$ between the two sizes, and what the change adds to it, from pairs of the same seed. These
# changes make the exponent larger: {glue:text}`knobs-steeper`. These make it smaller: {glue:text}`knobs-flatter`. With
# so many rows, one or two of these would be named by chance. The column of theoretical values gives the factor that
# gradient flow predicts for the rate and the batch, and the factor that the paper's $\tau_\mathrm{mem} \sim n/W$
# predicts for the width. Neither prediction was derived for Adam.

# %% tags=["remove-input"]
for key, longer, name in (("mem", True, "mem-later"), ("mem", False, "mem-sooner"),
                          ("window", True, "window-wider"), ("window", False, "window-narrower")):  # fmt: skip
    glue(f"knobs-{name}", listed(knobs.telling(table, key, longer)), display=False)
never = [name for name, e in zip(table["name"], table["gen"], strict=True) if e is None]
glue("knobs-never-good", listed(never), display=False)
glue(
    "knobs-better",
    listed([n for n, e in zip(table["name"], table["quality"], strict=True) if e.high < 0]),
    display=False,
)
for name, above in (("steeper", True), ("flatter", False)):
    chosen = [e is not None and (e.low > 0 if above else e.high < 0) for e in table["steeper"]]
    glue(f"knobs-{name}", listed(table["name"][chosen].tolist()), display=False)
said = [
    f"{knobs.THEORY[name][0]:g} ({knobs.THEORY[name][1]})" if name in knobs.THEORY else "—" for name in table["name"]
]
text = pd.DataFrame({
    "change": table["name"], "tau_gen ×": table["gen"], "tau_mem ×": table["mem"], "tau_mem × in theory": said,
    "window ×": table["window"], "smallest KL +": table["quality"], "exponent a": table["exponent"],
    "adds to a": ["—" if e is None else compact(e) for e in table["steeper"]],
}).map(compact)  # fmt: skip
frame("Factors of each change, with 95% intervals", text)

# %% tags=["remove-input"]
for name, row in (
    ("sgd", "SGD with momentum, rate 0.006"),
    ("sgd-9", "SGD, momentum 0.9, rate 0.012"),
    ("sgd-0", "SGD without momentum, rate 0.12"),
    ("average", "averaged weights, decay 0.999"),
):
    for key in ("mem", "gen", "window", "quality"):
        glue(f"knobs-{name}-{key}", compact(named.loc[row, key]), display=False)


def overlap(one, other):
    """Whether the intervals of two rows for tau_mem overlap, as a verb."""
    first, second = named.loc[one, "mem"], named.loc[other, "mem"]
    return "overlap" if first.low <= second.high and second.low <= first.high else "do not overlap"


glue("knobs-momenta", overlap("SGD with momentum, rate 0.006", "SGD without momentum, rate 0.12"), display=False)
glue("knobs-adam-weights", overlap("flow matching", "flow matching, loss of the noise"), display=False)
long = named.loc["averaged weights, decay 0.9999"]
glue("knobs-long-average-mem", compact(long["mem"]), display=False)
glue(
    "knobs-long-average-gen",
    "never become good" if long["gen"] is None else f"become good {compact(long['gen'])} times later",
    display=False,
)

# %% [markdown]
# ## The optimiser, and averaged weights
#
# The paper trains by SGD, and most people by Adam. What does one lose with Adam? Here SGD with momentum, with the same
# batches and the paper's learning rate, makes good samples at {glue:text}`knobs-sgd-gen` times the $\tau_\mathrm{gen}$
# of Adam, and copies at {glue:text}`knobs-sgd-mem` times its $\tau_\mathrm{mem}$. The window is
# {glue:text}`knobs-sgd-window` times as wide, and the smallest divergence in it differs by
# {glue:text}`knobs-sgd-quality` nats. Two settings differ here, the optimiser and its learning rate, since the two
# optimisers take steps of different size at the same rate.
#
# What does momentum do? With momentum $\beta$ each gradient moves the weights by $\eta/(1-\beta)$ in all. Does it do
# more than that? The three rows for SGD have the same $\eta/(1-\beta)$ and differ in $\beta$. They multiply
# $\tau_\mathrm{mem}$ by {glue:text}`knobs-sgd-mem` at a momentum of 0.95, {glue:text}`knobs-sgd-9-mem` at 0.9 and
# {glue:text}`knobs-sgd-0-mem` without. The intervals of the first and the last {glue:text}`knobs-momenta`.
#
# Most diffusion models are sampled not with the last weights but with an average of them over the last steps of
# training. With a decay of 0.999 a step, which averages over about a thousand steps, $\tau_\mathrm{mem}$ is multiplied
# by {glue:text}`knobs-average-mem` and $\tau_\mathrm{gen}$ by {glue:text}`knobs-average-gen`, so that the window is
# multiplied by {glue:text}`knobs-average-window`. An average lags behind the training. As long as it reaches back to a
# time before $\tau_\mathrm{gen}$, it still contains weights that make poor samples. With a decay of 0.9999, which
# averages over about ten thousand steps, samples {glue:text}`knobs-long-average-gen`, and copies come at
# {glue:text}`knobs-long-average-mem` times $\tau_\mathrm{mem}$. On a small data set, then, the length of the average
# has to be much shorter than the training.
#
# ## Flow matching
#
# The paper expects its results to hold for flow matching too, and a workshop paper ([What you predict shapes how you
# memorize](https://openreview.net/forum?id=kzzlQzXldR)) finds that networks which predict the data, the noise or the
# velocity memorise at different rates. There the network sees points on straight lines between data and noise, and
# predicts the difference of the two ends. Two things are changed at once, the path and the target. The figure also
# shows each of the two alone. A third thing changes with the path: such networks are sampled by DDIM, without noise,
# and not by Euler–Maruyama. The row "sampled by DDIM" shows what this does to the unchanged training. With all three
# changes, flow matching multiplies $\tau_\mathrm{mem}$ by {glue:text}`knobs-flow-mem` and $\tau_\mathrm{gen}$ by
# {glue:text}`knobs-flow-gen`; the target alone, on the paper's path, by {glue:text}`knobs-target-mem` and
# {glue:text}`knobs-target-gen`; the path, with its sampler and with the noise as the target, by
# {glue:text}`knobs-path-mem` and {glue:text}`knobs-path-gen`.
#
# Why do the samples become good at another time? A network that predicts the noise implies a prediction of the data, in
# which the error of the noise is multiplied by the ratio of noise to signal. At large diffusion times this ratio is
# large, so the network must predict the noise very precisely before the implied data are even roughly right. A network
# that has learned nothing therefore makes samples that are far off. One that predicts the difference of noise and data
# starts from samples that are noise of the right size, and has less to correct. This cannot be the whole reason,
# because it holds for the same target on the paper's path as well; compare the factors on $\tau_\mathrm{gen}$.
#
# Does the time of copies grow with $n$ as it does for noise prediction? Here are trainings under the paper's own rule, SGD
# with momentum in full batches, at $W =$ {glue:text}`knobs-flow-width`.

# %% tags=["remove-input"]
for name, row in (("flow", "flow matching"), ("target", "predicting noise − data"),
                  ("path", "linear path, predicting the noise")):  # fmt: skip
    for key in ("mem", "gen"):
        found = named.loc[row, key]
        glue(
            f"knobs-{name}-{key}",
            "a factor that is not known, since it is not reached" if found is None else compact(found),
            display=False,
        )
for count, row in ((1, "one frozen noise a point"), (8, "8 frozen noises a point"), (64, "64 frozen noises a point")):
    glue(f"knobs-frozen-{count}", compact(named.loc[row, "quality"]), display=False)
flows = sweep_results("mixture-flow")
glue("knobs-flow-width", flows[0].config["width"], display=False)
glue("knobs-flow-exponent", str(knobs.flow_exponent()), display=False)
for name, level in (("first", 0.01), ("last", 0.2)):
    glue(f"knobs-flow-{name}", f"{level:g}", display=False)
    shown = {"first": "low", "last": "high"}[name]
    glue(f"knobs-flow-{shown}", f"{knobs.flow_exponent(f_mem=level).value:.2f}", display=False)
glue("knobs-flow-window", compact(named.loc["flow matching", "window"]), display=False)
glue("knobs-flow-window-strict", compact(stricter.loc["flow matching", "window"]), display=False)
glue("knobs-noise-exponent", str(scaling.tau_mem_exponent("mixture-n")), display=False)
glue("knobs-base-exponent", str(knobs.base_exponent()), display=False)
beside = knobs.flow_beside_noise()
frame(
    "tau_mem in steps, SGD in full batches",
    pd.DataFrame({
        "n": beside["n"], "flow matching": beside["flow"].map("{:,.0f}".format),
        "noise prediction": beside["noise"].map("{:,.0f}".format), "ratio": beside["ratio"].map(str),
    }),
)  # fmt: skip

# %% [markdown]
# The exponent of $\tau_\mathrm{mem}$ in $n$ is {glue:text}`knobs-flow-exponent` for flow matching, beside
# {glue:text}`knobs-noise-exponent` for noise prediction. It depends a little on the level of $f_\mathrm{mem}$ at which
# the time is taken: from level {glue:text}`knobs-flow-first` to level {glue:text}`knobs-flow-last` it goes from
# {glue:text}`knobs-flow-low` to {glue:text}`knobs-flow-high`. The paper expects the same exponent for both, and the
# [claims](claims.ipynb) judge whether it is. The factor between the two times depends on the optimiser: for SGD it is
# the ratio in this table, and for Adam it is {glue:text}`knobs-flow-mem`.
#
# Why do copies come sooner? The change of target is really two changes, since the loss changes with what the network
# predicts. These two can be taken apart. On the linear path $x = (1-s)\,x_0 + s\,\xi$, an error $e$ in the predicted
# noise is an error $e/(1-s)$ in the predicted difference $\xi - x_0$. So the loss of flow matching is that of noise
# prediction with the weight $1/(1-s)^2$: it gives far more weight to large $s$, where there is much noise. A network
# that predicts the difference can also be trained on the error of the noise that its prediction implies. Then only what
# it predicts has changed, and not the weights. Before these runs we wrote down two expectations for this network. If
# the weights are the reason, its $\tau_\mathrm{mem}$ should be that of noise prediction on the linear path. If the
# target is the reason, it should be that of flow matching.

# %% tags=["remove-input"]
parts = knobs.flow_parts()
of = dict(zip(parts["name"], parts["tau_mem"], strict=True))
(noise, path, _, predicted, both) = (list(knobs.flow_times()[name]) for name in parts["name"])
steps_between = {"path": (path, noise), "predicted": (predicted, path), "weights": (both, predicted)}
for name, (top, bottom) in steps_between.items():
    runs_there = parts["tau_mem"].iloc[-1].runs
    glue(f"knobs-part-{name}", compact(scaling.ratio(top, bottom, runs_there)), display=False)
late, early, came = (of[name].value for name in (
    "linear path, predicting the noise", "flow matching", "flow matching, loss of the noise"))  # fmt: skip
glue("knobs-part-noise", f"{late:,.0f}", display=False)
glue("knobs-part-flow", f"{early:,.0f}", display=False)
glue("knobs-part-came", f"{came:,.0f}", display=False)
for name, row in (("loss", "flow matching, loss of the noise"), ("flow", "flow matching"),
                  ("path", "linear path, predicting the noise")):  # fmt: skip
    glue(f"knobs-adam-{name}", compact(named.loc[row, "mem"]), display=False)
frame(
    f"tau_mem in steps, SGD in full batches, n = {parts['tau_mem'].iloc[0].runs[0].config['n']}",
    pd.DataFrame({"what is changed": parts["name"], "tau_mem": parts["tau_mem"].map(str)}),
)

# %% [markdown]
# Noise prediction on the linear path takes {glue:text}`knobs-part-noise` steps and flow matching
# {glue:text}`knobs-part-flow`. The copies of this network came at {glue:text}`knobs-part-came`, between the two. From
# noise prediction to flow matching, the linear path multiplies $\tau_\mathrm{mem}$ by {glue:text}`knobs-part-path`
# (here the sampler changes with it, from Euler–Maruyama to DDIM), predicting the difference by
# {glue:text}`knobs-part-predicted`, and the weights of its loss by {glue:text}`knobs-part-weights`.
#
# These factors hold for SGD. Under Adam, in the figure above, flow matching multiplies $\tau_\mathrm{mem}$ by
# {glue:text}`knobs-adam-flow`, the same network with the loss of the noise by {glue:text}`knobs-adam-loss`, and the
# linear path alone by {glue:text}`knobs-adam-path`. The intervals of the first two {glue:text}`knobs-adam-weights`;
# under SGD the weights alone change $\tau_\mathrm{mem}$ by the factor {glue:text}`knobs-part-weights`.
#
# The starting point of this page, Adam in batches of a fixed size, has the exponent {glue:text}`knobs-base-exponent`.
# So the exponent depends on how one trains as well: with a fixed batch size, each point is seen less often when there
# are more points.
#
# ## Is there one clock?
#
# Does a training with twice the learning rate simply run twice as fast? Suppose that its progress depended only on the
# product $\tau\,\eta B$ of the number of steps $\tau$, the learning rate $\eta$ and the batch size $B$, as
# [arXiv:2605.06077](https://arxiv.org/abs/2605.06077) reports for U-Nets on CIFAR-10. Then doubling the rate or the
# batch would halve the number of steps to every event, so $\tau_\mathrm{mem}$ would be proportional to $\eta^{-1}$ and
# to $B^{-1}$. The table compares this rule with the measurements:

# %% tags=["remove-input"]
told = knobs.clock(table)
frame(
    "Factor on tau_mem",
    pd.DataFrame(
        {
            "change": told["change"],
            "the rule": told["said"].map("{:g}".format),
            "measured": told["seen"].map(str),
            "as a power": [f"{p:.2f} [{a:.2f}, {b:.2f}]" for p, a, b in told[["power", "low", "high"]].to_numpy()],
        }
    ),
)

# %% tags=["remove-input"]
powers, worst = knobs.fitted_rule(told)
follow = int(((told["low"] <= -1) & (told["high"] >= -1)).sum())
glue(
    "knobs-rule-follow", f"{follow} of the {len(told)} changes follow" if follow else "no change follows", display=False
)
for what, short in (("learning rate", "rate"), ("batch", "batch")):
    glue(f"knobs-rule-{short}", f"{powers[what]:.2f}", display=False)
    glue(f"knobs-rule-{short}-2", f"{2 ** powers[what]:.2f}", display=False)
glue("knobs-rule-worst", f"{worst:.2f}", display=False)
glue("knobs-rule-n-2", f"{2 ** knobs.base_exponent().value:.1f}", display=False)

# %% [markdown]
# Compare the last column with $-1$: {glue:text}`knobs-rule-follow` the rule within its interval. Adam divides each
# gradient by its size, so the length of its steps follows the learning rate, and a larger batch only makes their
# direction less noisy.
#
# To carry a time from one setting to another, use the measured powers instead. For this training they are three lines:
#
# 1. **Twice the learning rate** multiplies $\tau_\mathrm{mem}$ by {glue:text}`knobs-rule-rate-2` (the power
#    {glue:text}`knobs-rule-rate`).
# 2. **Twice the batch** multiplies it by {glue:text}`knobs-rule-batch-2` (the power {glue:text}`knobs-rule-batch`).
# 3. **Twice the data**, at the same batch size, multiply it by {glue:text}`knobs-rule-n-2` (the power
#    {glue:text}`knobs-base-exponent`).
#
# The first two lines miss the factors in the table by {glue:text}`knobs-rule-worst` times at most. A single power is a
# rough description, since the last column changes with the size of the change. They were measured for Adam, from half
# to four times the rate and from half to twice the batch of this page, and nothing is known of them elsewhere.
#
# ## On images
#
# Do these factors hold for the U-Net and digits? The runs of the other chapters change some of the same settings. The
# table compares them in pairs of the same $n$ and seed, next to the factor for the mixture where the same change was
# made there. Two things make the intervals wide: the pairs have different $n$, and a run that ended before copies
# appeared gives only a bound.

# %% tags=["remove-input"]
images = knobs.on_images()
frame(
    "Factor on tau_mem, digits",
    pd.DataFrame({
        "change": images["name"], "n": [", ".join(map(str, sizes)) for sizes in images["sizes"]],
        "pairs": images["pairs"], "digits": images["mem"].map(compact),
        "mixture": [compact(named.loc[row, "mem"]) if row else "" for row in images["mixture"]],
        "intervals": [
            "" if not row else "overlap" if e.low <= named.loc[row, "mem"].high and named.loc[row, "mem"].low <= e.high
            else "apart" for e, row in zip(images["mem"], images["mixture"], strict=True)
        ],
    }).set_index("change"),
)  # fmt: skip

# %% [markdown]
# Some lines of this table need care. Flips of images are not among the changes, since a flipped digit or letter is in
# general no longer a digit or letter. Widening a U-Net is not the same change as widening an MLP, and Adam's learning
# rate was not adjusted to the width. And SGD has another rate for images than for the mixture, so the first line
# compares two recipes. Most of the other changes have not been made on images; the [campaign for a GPU](gpu.ipynb) has
# runs for some of them.
#
# ## What to do
#
# 1. **Look at the window, not at the time of copies alone.** A later $\tau_\mathrm{mem}$ that comes with a later
#    $\tau_\mathrm{gen}$ costs time and gains nothing. Here the window was widened by: {glue:text}`knobs-window-wider`.
#    The factor depends on what counts as good: for flow matching it is {glue:text}`knobs-flow-window` at the level of
#    this page and {glue:text}`knobs-flow-window-strict` at {glue:text}`knobs-strict` nats.
# 2. **Do not carry a stopping time from one setting to another.** It would be wrong by the factors above. Find your own
#    with a [probe](your-data.ipynb) of your data or a [monitor](monitor.ipynb) in your training loop.
# 3. **Draw fresh noise at every step.** With noises that are kept, the smallest divergence grows by
#    {glue:text}`knobs-frozen-1` nats for one noise a point, {glue:text}`knobs-frozen-8` for 8 and
#    {glue:text}`knobs-frozen-64` for 64. Here each noise comes with its own diffusion time, so a few of them leave most
#    times unseen. Even at a single diffusion time, [the theory](frozen-noise.ipynb) asks for tens to hundreds of noises
#    a point, and for more the smaller that time is.
#
# ## What this cannot say
#
# The data are vectors from a mixture, the network is small, and its times are those of Adam at one rate. Each change
# was trained at two $n$, and weight decay, dropout and noise on the data at few strengths, so a change of the exponent
# in $n$ would have to be large to be seen. The theory of [frozen noise and weight decay](frozen-noise.ipynb) has no
# column in the table: its factors depend on the number of features and on the one diffusion time it treats, and do not
# carry over to this network. Ratios of times travel better than times, but only a few of them could be compared with
# images, in a few pairs each. The smallest divergence is the lowest point of a noisy curve and so a little too small,
# in changed and unchanged trainings alike.
#
# **Next.** [Four open questions](questions.ipynb) asks what comes between good samples and copies: is the minimum of the
# held-out loss already too late, and which cure is as good as stopping in time?
