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
# # Images: capacity
#
# **What you will see.** How do the two times change when the U-Net becomes wider, and how large must a training set be
# to be safe at a given width? This page redraws Figure 3 of {cite:t}`bonnaire2025`. It then looks for a reason why a
# wider network learns faster. The curvature of the loss, which also limits the learning rate, is a candidate.
#
# **You need** [training-set size](images.ipynb), for the two times and how they are read, and [full
# batch](images-full-batch.ipynb), for the delays. **Reading time**: ten minutes.

# %% tags=["remove-input"]
from math import fsum

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from myst_nb import glue
from scipy.stats import gmean

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import baseline, images as estimate, scaling
from diffmemlib.companion.figures import capacity as draw
from diffmemlib.companion.figures.images import grid
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.figures.tables import estimates, frame
from diffmemlib.companion.figures.tiers import beside
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.experiments.unet import LAPTOP_RATE, LEARNING_RATE, laptop_learning_rate

SGD = "images-width-sgd"
PAPER = "images-curvature-paper"
runs, sgd, before, paper = (sweep_results(name) for name in (estimate.CAPACITY, SGD, estimate.CURVATURE, PAPER))
c = runs[0].config
distance = estimate.quality(runs)
glue("width-all", ", ".join(f"{w}" for w in sorted(set(scaling.sizes(runs, "width")))), display=False)
glue("width-n", ", ".join(f"{n}" for n in sorted(set(scaling.sizes(runs)))), display=False)
batch = scaling.batch_size(runs)
glue("width-batch", batch, display=False)
for name in ("side", "lr"):
    glue(f"width-{name}", f"{c[name]:g}", display=False)
glue("width-good", f"{estimate.EARLY[distance]:g}", display=False)
glue("width-copies", f"{scaling.F_MEM:g}", display=False)
glue("width-none", f"{estimate.COPIES:g}", display=False)
glue("width-level", f"{estimate.LOSS_ABOVE - 1:.0%}", display=False)
new = [r for r in [*runs, *sgd, *before, *paper] if r.id not in {other.id for other in sweep_results(estimate.SWEEP)}]
glue("width-hours", f"{fsum(r.provenance['seconds'] for r in new) / 3600:.1f}", display=False)

# %% [markdown]
# ## Three widths
#
# The width $W$ is the number of channels at the finest resolution. The paper trains U-Nets of five widths at one
# learning rate, and finds $\tau_\mathrm{gen} \propto 1/W$ and $\tau_\mathrm{mem} \propto n/W$. Both times are then
# shorter by the same factor in a wider network, and their ratio does not depend on $W$. The number of parameters grows
# as $W^2$.
#
# Our widths are $W =$ {glue:text}`width-all`, at $n =$ {glue:text}`width-n` digits of {glue:text}`width-side` $\times$
# {glue:text}`width-side` pixels, in batches of {glue:text}`width-batch`, all with Adam at a learning rate of
# {glue:text}`width-lr`. The paper uses SGD. There are a few runs under SGD [below](sec-curvature), with the reason why
# they are few. The runs with $W = 16$ are those of [](images.ipynb); the others took {glue:text}`width-hours` hours on
# one core.

# %% mystnb={"figure": {"caption": "Three widths by three training-set sizes, Adam: Fr\u00e9chet distance to held-out digits against $\\tau$ and against $W\\tau$ (top); memorised fraction against $\\tau$ and against $W\\tau/n$ (bottom). The colour shows $W$, the style of the line $n$. Dotted: the levels that define $\\tau_\\mathrm{gen}$ on this page and $\\tau_\\mathrm{mem}$; dots mark where the memorised fractions reach theirs. Dashed: the share of unseen data that meet the criterion of copies by chance.", "name": "fig-capacity"}, "image": {"alt": "Distances of the two wider networks fall together against W tau, that of the narrowest stays high for long. Memorised fractions rise one n after the other, at much the same time for every width."}} tags=["remove-input"]
figure, table = draw.capacity(runs, baseline.by_chance(runs))
plt.show()

# %% tags=["remove-input"]
beside(estimate.CAPACITY, draw.capacity)
record(runs, table, "capacity")

# %% mystnb={"figure": {"caption": "The times of every run against $W$: samples become good, losses separate, first copies appear. Full lines: the fitted power of $W$, each $n$ with its own prefactor. Dotted: $1/W$.", "name": "fig-capacity-times"}, "image": {"alt": "Three panels of lines, one colour for each n. tau_gen falls more steeply than the dotted 1/W from the narrowest network on, for which there are only bounds; tau_mem falls less steeply; tau_overfit hardly changes."}} tags=["remove-input"]
figure, table = draw.against_width(runs, {name: find(runs) for name, find in estimate.WIDTH_TIMES.items()})
plt.show()

# %% tags=["remove-input"]
record(runs, table, "capacity-times")

# %% tags=["remove-input"]
fits = {name: estimate.width_exponent(name) for name in ("tau_gen", "tau_overfit", "tau_mem", "tau_loss")}
for name, e in fits.items():
    glue(f"width-{name}", str(e), display=False)
by_n = table[table["time"] == "tau_gen"].pivot(index="n", columns="width", values="tau")
narrowest, second_width = by_n.columns[:2]
slopes = np.log(by_n[second_width] / by_n[narrowest]) / np.log(second_width / narrowest)
glue("width-narrowest", str(narrowest), display=False)
wider = [r for r in runs if r.config["width"] > narrowest]
glue("width-wider", str(scaling.exponent_of(estimate.tau_early(wider), wider, "width", each="n")), display=False)
glue("width-bounds", ", ".join(f"{v:.1f}" for v in slopes[:-1]) + f" and {slopes.iloc[-1]:.1f}", display=False)
bound = table["status"].map({"interpolated": "", "censored": "> ", "at first point": "< "})
told = table.assign(tau=bound + table["tau"].map("{:,.0f}".format))
frame(
    "Times by W, in steps. >: the run ended before this time; <: this time lies before the first milestone",
    told.pivot(index=["time", "n"], columns="width", values="tau").rename(columns="W = {}".format),
)

# %% tags=["remove-input"]
estimates("Exponents in W, Adam", fits)

# %% [markdown]
# The paper's exponent in $W$ is $-1$ for both times. Ours are: {glue:text}`width-tau_gen` for $\tau_\mathrm{gen}$,
# {glue:text}`width-tau_mem` for $\tau_\mathrm{mem}$ (the first time at which $f_\mathrm{mem}$ reaches
# {glue:text}`width-copies`), {glue:text}`width-tau_overfit` for the time at which the losses separate, and
# {glue:text}`width-tau_loss` for the time at which the held-out loss at $t = 0.01$ comes within
# {glue:text}`width-level` of the lowest value that every run reaches. Here $\tau_\mathrm{gen}$ is the first time at
# which the distance is below {glue:text}`width-good`. That is a milder level than the one of [](images.ipynb), which
# hardly any of these networks reach before they copy. Even the milder level was not reached by $W =$
# {glue:text}`width-narrowest`. For this width there are only lower bounds of $\tau_\mathrm{gen}$ (open triangles), and
# they enter the fit as bounds. From this width to the next, the exponent must therefore be at least as steep as
# {glue:text}`width-bounds`, for the three $n$ in order. Without that width the exponent of $\tau_\mathrm{gen}$ is
# {glue:text}`width-wider`. So no single power describes all three widths, which is why the fitted lines of the first
# panel miss its points.

# %% mystnb={"figure": {"caption": "Samples of the narrowest network at its largest $n$, before its first copies and at its end, each above the training digit nearest to it. Samples that count as copies are framed, if there is one among those shown.", "name": "fig-capacity-narrow"}, "image": {"alt": "Two bands. In the first several samples are noise or empty, beside digits; in the second nearly all are digits, some with noise left in them."}} tags=["remove-input"]
narrow = min(runs, key=lambda r: (r.config["width"], -r.config["n"]))
milestones = narrow.samples["step"].tolist()
figure, table_narrow = grid(
    narrow, [max(m for m in milestones if m < scaling.tau_mem([narrow])[0].tau), milestones[-1]]
)
plt.show()

# %% tags=["remove-input"]
record([narrow], table_narrow, "capacity-narrow")

# %% [markdown]
# Why did the distance of the narrowest network not fall that far? The samples show it: some starting noises lead to a
# digit, while others end in noise or in an empty image. The distance counts these failures, and the loss at one small
# $t$ does not see them. Such a network makes copies before its samples as a whole are good.
#
# ## Does a wider network need fewer draws?

# %% tags=["remove-input"]
every = {r.id: r for name in ("images-sgd", "images-full", "images-full-draws") for r in sweep_results(name)}
(_, a, b), _ = scaling.delays(list(every.values()))
seen = table[(table["time"] == "tau_mem") & (table["status"] == "interpolated")].copy()
seen["draws"] = seen["tau"] * batch / seen["n"]
by_width = seen.groupby("width")["draws"].agg(gmean)
glue("width-looks", ", ".join(f"{v:,.0f}" for v in by_width), display=False)
glue("width-a", str(a), display=False)
glue("width-share-looks", f"{1 / (1 + batch * b.value / a.value):.0%}", display=False)
draws = seen.pivot(index="n", columns="width", values="draws").map("{:,.0f}".format, na_action="ignore").fillna("")
frame("How often each image was seen until the first copies", draws.rename(columns="W = {}".format))

# %% [markdown]
# By the time of the first copies, each image was seen {glue:text}`width-looks` times at $W =$ {glue:text}`width-all`
# (geometric means over the $n$ for which copies were seen). The [full-batch](images-full-batch.ipynb) page splits
# $\tau_\mathrm{mem}$ under SGD into delays. Two of them are proportional to $n$: one until each image has been drawn $A
# =$ {glue:text}`width-a` times, and one that counts steps. In batches of {glue:text}`width-batch`, the first makes up
# {glue:text}`width-share-looks` of their sum. Suppose that Adam needs a similar number of draws, which we have not
# tested: $A$ was measured under SGD at one learning rate. Then this delay would be the same at every width, because a
# wider network takes more effective steps but sees no more noises. The paper averages over 512 draws or more in each
# step. There the first delay would be short, and the width would matter more; we have no runs of that kind.
#
# ## Which sets are safe
#
# For which widths and training-set sizes can you train for $\tau_\mathrm{gen}$, or for some multiple of it, without
# copies?

# %% mystnb={"figure": {"caption": "Phase diagram: does a network of width $W$ copy if it is trained on $n$ digits for a multiple of its own $\\tau_\\mathrm{gen}$? Squares: it makes copies. Discs: it makes none. Open circles: not known. Bars: the boundary, interpolated between sizes. Pale marks: networks of this width never reached $\\tau_\\mathrm{gen}$, and a lower bound is used instead. The number below each $W$ is the number of parameters $p$ in thousands.", "name": "fig-phases"}, "image": {"alt": "Panels of marks over W and n, one for each multiple of the generation time: more sizes have copies as the multiple grows."}} tags=["remove-input"]
boundary = estimate.boundaries(runs, (1, 2, 4, 8))
figure, table = draw.phases(runs, boundary, estimate.COPIES)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "phases")

# %% tags=["remove-input"]
windows = {}
for w in boundary.loc[boundary["tau_seen"], "width"].unique():
    own = [r for r in runs if r.config["width"] == w]
    windows[w] = scaling.ratio(scaling.tau_mem(own), estimate.tau_early(own), own)
# Of the mean alone: its interval would be the spread of the ratio over n, with which it grows.
glue("width-windows", " and ".join(f"{e.value:.1f} at W = {w}" for w, e in windows.items()), display=False)
frame(
    "The boundary: the smallest n without copies at c times the generation time",
    pd.DataFrame(
        {
            "W": boundary["width"],
            "c": boundary["c"],
            "at step": boundary["tau"].map("{:,.0f}".format),
            "n": boundary["n"].map("{:,.0f}".format),
            "found": boundary["status"],
        }
    ),
)

# %% [markdown]
# Each panel looks at the networks after a multiple of their own $\tau_\mathrm{gen}(W)$, the geometric mean over $n$, so
# that widths are compared when their samples are equally good. A mark says whether more than {glue:text}`width-none` of
# the samples, half the level of $\tau_\mathrm{mem}$, are copies at that time. The boundary is the smallest training set
# that is safe, and it would not depend on $W$ if both times had the same exponent in $W$. Where no bar is drawn, the
# boundary either lies outside the sizes trained here (the table says on which side), or cannot be placed between two of
# them. The latter happens where a neighbouring run ended too early (censored), or where a safe size lies below one that
# is not safe (not monotone). For a width that never reached its $\tau_\mathrm{gen}$, the last step takes its place;
# this is a lower bound, and copies seen by then still count.
#
# The window can also be given as one number for each width. The ratio $\tau_\mathrm{mem}/\tau_\mathrm{gen}$, as a
# geometric mean over $n$, is {glue:text}`width-windows`. The paper's exponents imply the same ratio at every width.
#
# (sec-curvature)=
# ## What makes a wider network fast
#
# Let $f$ be the $N$ numbers that a network with weights $\theta$ predicts, and $\epsilon$ the noise that it should
# predict. The loss is the mean square $|f - \epsilon|^2/N$. At a small learning rate $\eta$, gradient descent changes
# $f$ by
#
# ```{math}
# :label: eq-kernel
# \frac{\mathrm d f}{\mathrm d \tau} = -\frac{2 \eta}{N} J J^\top (f - \epsilon), \qquad J = \frac{\partial f}{\partial \theta} .
# ```
#
# The component of the error $f - \epsilon$ along each eigenvector of $2 J J^\top / N$ therefore shrinks at a rate of
# $\eta \lambda$ per step, where $\lambda$ is the eigenvalue (with momentum $\beta$, at $\eta/(1 - \beta)$ times
# $\lambda$). More weights add more terms to $J J^\top$, so with the usual initialisation these rates grow with $W$, and
# the times that they set become shorter. The rates can be measured before training. Their sum is a trace, which random
# probes estimate. The largest equals the largest eigenvalue of the Hessian of the loss if a term proportional to the
# error is neglected. One direction is easy to picture: an error that is the same in every pixel of every image is an
# error of brightness. SGD with momentum $\beta$ diverges where $\eta > 2 (1 + \beta)/\lambda_\mathrm{max}$.

# %% mystnb={"figure": {"caption": "Before training. First panel: rates at which errors shrink, in units of the learning rate: their sum, the fastest, and that of brightness. Second panel: the learning rate above which SGD with momentum 0.95 diverges, by the fastest rate, with the rate of our SGD runs on the pages before, and the paper's. Points: seeds.", "name": "fig-curvature"}, "image": {"alt": "First panel: three rising lines against W; the fastest rate and that of brightness rise more steeply than the sum. Second panel: the highest learning rate falls steeply with W and crosses the laptop's rate."}} tags=["remove-input"]
sides = {f"{own[0].config['side']} x {own[0].config['side']} pixels": own for own in (before, paper)}
figure, table = draw.curvature(sides, {"SGD here": LAPTOP_RATE["sgd"], "the paper": LEARNING_RATE["sgd"]})
plt.show()

# %% tags=["remove-input"]
record([*before, *paper], table, "curvature")

# %% tags=["remove-input"]
rates = {name: estimate.curvature_exponent(name) for name in draw.CURVATURES}
slow = estimate.width_exponent("tau_loss", SGD)
for name, e in rates.items():
    glue(f"width-{name}", str(e), display=False)
glue("width-sgd-loss", str(slow), display=False)
glue("width-sgd-lr", f"{sgd[0].config['lr']:g}", display=False)
glue("width-sgd-n", ", ".join(f"{n}" for n in sorted(set(scaling.sizes(sgd)))), display=False)
first, second = (part for _, part in table.groupby("set", sort=False))
highest, highest_paper = (part.groupby("width")["highest_rate"].agg(gmean) for part in (first, second))
glue("width-highest-16", f"{highest[16]:.2g}", display=False)
glue("width-highest-32", f"{highest[32]:.2g}", display=False)
glue("width-share", f"{gmean(first['brightness'] / first['largest']):.0%}", display=False)
glue("width-sgd-rate", f"{laptop_learning_rate('sgd', 16):g}", display=False)
glue("width-images", f"{before[0].config['images']}", display=False)
glue("width-images-paper", f"{paper[0].config['images']}", display=False)
glue("width-paper-side", f"{paper[0].config['side']}", display=False)
glue("width-paper-widest", f"{highest_paper.index[-1]}", display=False)
glue("width-paper-highest", f"{highest_paper.iloc[-1]:.2g}", display=False)
glue("width-paper-largest", str(estimate.curvature_exponent("largest", PAPER)), display=False)
same = {
    r.config["lr"]: r
    for r in [*sgd, *sweep_results("images-sgd")]
    if (r.config["width"], r.config["n"]) == (16, sgd[0].config["n"])
}
level = estimate.loss_level(sgd)
times = {lr: scaling.crossings([r], "loss_test", level, rising=False)[0].tau for lr, r in same.items()}
glue("width-rates", f"{max(times) / min(times):,.0f}", display=False)
glue("width-gain", f"{times[min(times)] / times[max(times)]:.1f}", display=False)
by_side = pd.DataFrame(dict(zip(sides, (highest, highest_paper), strict=True))).T
frame(
    "The learning rate above which SGD diverges",
    by_side.map("{:.4f}".format).rename(columns="W = {}".format).rename_axis("images"),
)

# %% tags=["remove-input"]
shown = {draw.CURVATURES[name]: e for name, e in rates.items()} | {"tau_loss, SGD": slow}
estimates("Exponents in W", shown)

# %% [markdown]
# The sum of the rates grows with the exponent {glue:text}`width-trace` in $W$, the fastest rate with
# {glue:text}`width-largest`, and that of brightness with {glue:text}`width-brightness`. On average, the rate of
# brightness is {glue:text}`width-share` of the fastest rate. It is known that one direction of a wide network is far
# faster than the rest and limits the learning rate {cite:p}`karakida2019`. Here that direction is close to brightness.
#
# The highest stable learning rate falls accordingly. At $W = 16$ it is {glue:text}`width-highest-16`, and our SGD runs
# on the previous pages use {glue:text}`width-sgd-rate`. They start at the edge of stability {cite:p}`cohen2021`, and
# the quantity that [swings there](images-adam.ipynb) is brightness. At $W = 32$ the highest rate is
# {glue:text}`width-highest-32`. There, SGD with the rate used for $W = 16$ diverges within ten steps, so the default
# rate of the laptop tier falls as $1/W^2$, a little faster than measured (`laptop_learning_rate`). On unscaled digits
# with the paper's {glue:text}`width-paper-side` pixels a side, the fastest rate has the exponent
# {glue:text}`width-paper-largest`. The highest learning rate at the paper's largest width, $W =$
# {glue:text}`width-paper-widest`, is then {glue:text}`width-paper-highest`, yet the paper trains all widths at
# {glue:text}`width-sgd-lr`. The estimate is rough: each curvature is that of the loss of a few images
# ({glue:text}`width-images`, and {glue:text}`width-images-paper` at the larger size) at the initial weights. It
# indicates where training may become unstable, but does not prove that it does.
#
# ## SGD at one rate
#
# All three widths are stable under SGD at {glue:text}`width-sgd-lr`, the paper's rate. At that rate and $n =$
# {glue:text}`width-sgd-n`, consider the time at which the held-out loss comes within {glue:text}`width-level` of the
# lowest value that every run reaches. If these rates set the time, its exponent in $W$ would be the negative of theirs.
# It is {glue:text}`width-sgd-loss`, and the sum of the rates has {glue:text}`width-trace`. These runs are too short for
# copies.
#
# Near the edge of stability, a higher learning rate gains less than one would expect: at $W = 16$, multiplying the rate
# by {glue:text}`width-rates` reduces the number of steps to the same loss only by a factor of {glue:text}`width-gain`.
# So a stopping time cannot be carried over from one training run to another, either as a number of steps or as a value
# of $\eta \tau$. Watch the [losses](images.ipynb) of your own training instead.
#
# ## Claims

# %% tags=["remove-input"]
claims.show(claims.load(chapter="images-capacity"))

# %% [markdown]
# ## What differs from the paper
#
# The data are digits instead of faces. The optimiser is Adam instead of SGD, except in the last section. There are
# three widths, three small training sets, and one seed for each run. [](deviations) has the full list.
#
# **Next.** [Conditional generation](conditional.ipynb) asks whether labels, and guidance towards a class, bring copies
# sooner.
