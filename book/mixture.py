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
# # The Gaussian mixture
#
# ```{index} ! memorisation
# ```
# ```{index} ! memorization
# ```
# ```{index} ! memorised fraction
# ```
# ```{index} ! f_mem
# ```
# ```{index} ! tau_mem
# ```
# ```{index} ! tau_gen
# ```
#
# **What you will see.** A small network learns a distribution that we know exactly, so the quality of its samples can
# be measured instead of judged by eye. Its samples become good at a time that does not depend on the number $n$ of
# training points; copies of training points appear at a time proportional to $n$. The paper {cite:p}`bonnaire2025`
# shows the network in its Figure 8 and the times in its Figure 9; here both are redrawn from our own code and runs.
#
# **You need** the idea of a diffusion model and of its score. [](one-dimension) introduces both, in the simplest
# possible case. **Reading time**: fifteen minutes.

# %% tags=["remove-input"]
from math import fsum

import matplotlib.pyplot as plt
from myst_nb import glue

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import baseline, gmm as estimate, scaling
from diffmemlib.companion.figures import gmm as draw
from diffmemlib.companion.figures.curves import quality_and_memory, thresholds, times
from diffmemlib.companion.figures.interactive import show
from diffmemlib.companion.figures.network import residual_mlp
from diffmemlib.companion.figures.record import record, record_live
from diffmemlib.companion.figures.tables import estimates, frame
from diffmemlib.companion.figures.tiers import beside
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.experiments.gmm import training_set
from diffmemlib.nets.mlp import ResidualMLP
from diffmemlib.timescales.power_laws import exponent

runs = estimate.sweep_n()
n_values = sorted({r.config["n"] for r in runs})
glue("n-first", n_values[0], display=False)
glue("n-last", n_values[-1], display=False)
glue("seeds", str(len({r.config["seed"] for r in runs})), display=False)
glue("good", f"{estimate.KL_GOOD:g}", display=False)
glue("copies", f"{scaling.F_MEM:g}", display=False)
glue("parted", f"{scaling.LOSS_GAP:.0%}", display=False)
glue("momentum", f"{runs[0].config['momentum']:g}", display=False)
glue("lr", f"{runs[0].config['lr']:g}", display=False)
glue("samples", runs[0].config["samples"], display=False)
per_n = {n: tau / n for n, tau in scaling.by_size(scaling.tau_mem(runs), runs).items()}
glue("first-per-n", f"{per_n[n_values[0]]:.0f}", display=False)
glue("last-per-n", f"{per_n[n_values[-1]]:.0f}", display=False)
glue("hours", f"{fsum(r.provenance['seconds'] for r in runs) / 3600:.1f}", display=False)

# %% [markdown]
# ## The experiment
#
# The data are drawn from two balanced Gaussians in $d = 8$ dimensions (Eq. 23 of the paper),
#
# ```{math}
# :label: eq-mixture
# P_0 = \tfrac12\, \mathcal N(\mu \mathbf 1_d,\, I_d) + \tfrac12\, \mathcal N(-\mu \mathbf 1_d,\, I_d),
# \qquad \mu = 1 .
# ```
#
# Under the forward process $x_t = e^{-t} x_0 + \sqrt{\Delta_t}\, \xi$, with $\Delta_t = 1 - e^{-2t}$, the covariance
# stays the identity and the centres shrink, so the exact score is known at every time:
#
# ```{math}
# :label: eq-mixture-score
# \nabla \log P_t(x) = m_t \tanh(m_t\, \mathbf 1 \cdot x)\, \mathbf 1 - x, \qquad m_t = \mu e^{-t} .
# ```
#
# The network is the paper's: a linear layer from $d$ to $W$, three residual blocks, and a linear layer back. An embedding
# of the diffusion time enters every block.

# %% mystnb={"figure": {"caption": "The network (top) and one of its blocks (bottom), drawn from the code.", "name": "fig-mixture-network"}, "image": {"alt": "Two rows of boxes joined by arrows. Top: the noised point goes through a linear layer, three blocks and a linear layer to the predicted noise; the embedding of time enters each block. Bottom: in a block the embedding is added, a linear layer, GELU and a linear layer follow, the input is added again, and LayerNorm gives the output."}} tags=["remove-input"]
shape = {name: runs[0].config[name] for name in ("d", "width")}
figure, table = residual_mlp(ResidualMLP(**shape))
plt.show()

# %% tags=["remove-input"]
glue("parameters", f"{table['parameters'].sum():,}", display=False)
glue("width", shape["width"], display=False)
made = f"ResidualMLP(d={shape['d']}, width={shape['width']})"
record_live(f"diffmemlib.companion.figures.network.residual_mlp({made})", table, "mixture-network")

# %% [markdown]
# The network has {glue:text}`parameters` parameters at $W =$ {glue:text}`width`. It predicts the noise $\xi$; dividing
# this prediction by $-\sqrt{\Delta_t}$ gives the learned score $s_\theta$. It is trained on full batches by SGD with
# momentum {glue:text}`momentum` at a learning rate of {glue:text}`lr`. Training time $\tau$ is the number of these
# steps. At milestones spaced evenly in $\log\tau$ we pause the training, generate samples by the Euler-Maruyama scheme
# over all diffusion steps, and measure two things:
#
# - **the memorised fraction** $f_\mathrm{mem}$: the share of samples whose nearest training point is less than
#   $k = 1/3$ as far away as the second nearest (Eq. 6), with the 95% interval of Wilson {cite:p}`brown2001`;
# - **the divergence** $\mathrm{KL}(P_\mathrm{gen} \| P_0)$ between the generated and the true distribution, in nats, by
#   three estimators that are compared [below](sec-kl).

# %% tags=["remove-input"]
frame("The runs", estimate.overview(runs))

# %% [markdown]
# ## Two times
#
# Does either time depend on the number of training points? In the figure, look first at the panels against training
# time, and then at those in which time is divided by $n$.

# %% mystnb={"figure": {"caption": "Divergence from the true distribution (top, from the gap between learned and exact score) and memorised fraction (bottom) against training time, and against training time divided by $n$. Dotted: the levels that define $\\tau_\\mathrm{gen}$ and $\\tau_\\mathrm{mem}$; dots mark where the curves reach them. Dashed: the share of unseen data that meet the criterion of copies by chance. Lines: mean over seeds. Bands: from the lowest to the highest end of the seeds' own 95% intervals.", "name": "fig-mixture-n"}, "image": {"alt": "Four panels. The divergence falls near step 500 for every n and rises again later. The memorised fraction rises at a time that grows with n; against tau over n its curves nearly coincide."}} tags=["remove-input"]
fresh = baseline.fresh_shares(runs)
figure, table = quality_and_memory(runs, good=estimate.KL_GOOD, fresh=fresh["1/3"].max())
plt.show()

# %% tags=["remove-input"]
beside("mixture-n", quality_and_memory)
record(runs, table, "mixture-n")

# %% [markdown]
# Against training time, the divergence falls at nearly the same time for every $n$, while the memorised fraction rises
# later for larger $n$. When time is divided by $n$, the rises lie nearly on one curve, and the falls no longer do: the
# first copies appear at $\tau/n =$ {glue:text}`first-per-n` for $n =$ {glue:text}`n-first` and at
# {glue:text}`last-per-n` for $n =$ {glue:text}`n-last`. The time between the fall and the rise is the window in which
# to stop.
#
# ## How the times scale
#
# To put numbers to this, call $\tau_\mathrm{gen}$ the first time at which the divergence, estimated by the gap between
# the learned and the exact score, is below {glue:text}`good` nats. Strictly, this is the time at which the score has
# become good; [below](sec-kl) it is compared with an estimate from the samples. Call $\tau_\mathrm{mem}$ the time at
# which $f_\mathrm{mem}$ reaches {glue:text}`copies`. Between them lies $\tau_\mathrm{overfit}$, the first time after
# which the held-out loss exceeds the training loss by more than {glue:text}`parted` of the held-out loss. Both losses
# are taken at diffusion time $t = 0.01$.

# %% mystnb={"figure": {"caption": "The three times of every run against $n$. Filled points: single runs. Open triangles: lower bounds, from runs that ended before the time was reached. Lines: geometric means over seeds. Shaded: what the network makes in each region of $n$ and training time.", "name": "fig-mixture-times"}, "image": {"alt": "Log-log plot of three times against n. The time of generation is flat; the times of overfitting and of memorisation are parallel lines of slope one, memorisation higher. Between the times of generation and memorisation a region of new samples widens with n; above it is the region of copies."}} tags=["remove-input"]
measured = {
    "tau_gen": estimate.tau_gen(runs),
    "tau_mem": scaling.tau_mem(runs),
    "tau_overfit": scaling.tau_overfit(runs),
}
figure, table = times(scaling.sizes(runs), measured)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "mixture-times")

# %% tags=["remove-input"]
glue("mem-exponent", str(scaling.tau_mem_exponent("mixture-n")), display=False)
linear = scaling.crossings(runs, "f_mem", scaling.F_MEM)
early = max(1 - a.tau / b.tau for a, b in zip(linear, scaling.tau_mem(runs), strict=True))
glue("linear-early", f"{early:.0%}", display=False)
glue("linear-exponent", str(scaling.exponent_of(linear, runs)), display=False)
glue("gen-exponent", str(estimate.tau_gen_exponent()), display=False)
glue("over-exponent", str(scaling.overfit_exponent("mixture-n")), display=False)
glue("levels", ", ".join(f"{level:g}" for level in scaling.fit_collapse(runs).levels), display=False)
glue("spread", f"{scaling.fit_collapse(runs).rms_factor - 1:.0%}", display=False)
glue("collapse-exponent", str(scaling.collapse("mixture-n")), display=False)
glue("lag", str(scaling.overfitting_lag("mixture-n")), display=False)
glue("window", str(estimate.window()), display=False)
glue("window-n", estimate.largest_n(runs)[0].config["n"], display=False)
frame("Run by run", estimate.run_by_run(runs))

# %% [markdown]
# A time between two milestones is interpolated. For $\tau_\mathrm{gen}$ this is done linearly in $\log\tau$. For
# $\tau_\mathrm{mem}$ the logarithm of the odds is interpolated, because $f_\mathrm{mem}$ rises as a power of $\tau$.
# Interpolating the share itself would give times up to {glue:text}`linear-early` too early, most of all at large $n$, and
# the exponent {glue:text}`linear-exponent`.
#
# These are the exponents, fitted to all runs, with 95% Student intervals:
#
# | exponent of $n$ | ours | the paper |
# | --- | --- | --- |
# | $\tau_\mathrm{mem}$ | {glue:text}`mem-exponent` | 1 |
# | the $a$ for which the curves of $f_\mathrm{mem}$ against $\tau/n^a$ lie closest together, at the levels {glue:text}`levels` | {glue:text}`collapse-exponent` | 1 |
# | $\tau_\mathrm{overfit}$ | {glue:text}`over-exponent` | 1 |
# | $\tau_\mathrm{gen}$ | {glue:text}`gen-exponent` | 0 |
#
# The collapse uses, at each level, all runs that reach it. Once divided by $n^a$, their times differ by
# {glue:text}`spread` (root mean square).
#
# The losses separate before copies appear: $\tau_\mathrm{mem}$ is {glue:text}`lag` times $\tau_\mathrm{overfit}$. The
# paper sees the same delay on images. At $n$ = {glue:text}`window-n`, $\tau_\mathrm{mem}$ is {glue:text}`window` times
# $\tau_\mathrm{gen}$.
#
# One might think that copies come later for large $n$ because each point is seen less often. That is not the reason
# here. Every step uses the full batch, so after $\tau$ steps every training point has been seen exactly $\tau$ times,
# whatever $n$ is, and copies still come later for larger $n$.
#
# ### Do the shares of the classes matter?
#
# In these runs the class of every point is drawn at random, so that one class has up to {glue:text}`drawn-most` of
# {glue:text}`n-first` points, and training sets of the same seed share points. The paper's code takes exactly half of
# the points from each class. Does that change the times? Before we made further runs we wrote down what to expect: if
# neither the shares of the classes nor the shared points matter, the exponents agree within their intervals. The
# further runs have equal classes and other points for every $n$, and they last until {glue:text}`equal-steps` times $n$
# steps, well past the first copies.

# %% tags=["remove-input"]
shares = estimate.by_classes()
first, equal = [r for r in runs if r.config["n"] == n_values[0]], sweep_results(estimate.BALANCED)
glue("drawn-most", max(int(training_set(r.config)[1].bincount().max()) for r in first), display=False)
lengths = {r.config["steps"] // r.config["n"] for r in equal}
glue("equal-steps", " to ".join(f"{length:g}" for length in sorted({min(lengths), max(lengths)})), display=False)
now = shares.loc["tau_mem", "equal classes"]
glue("equal-mem", str(now), display=False)
glue("equal-contains", "contains" if now.low <= 1 <= now.high else "does not contain", display=False)
agree = [
    a.low <= b.high and b.low <= a.high for a, b in zip(shares["classes drawn"], shares["equal classes"], strict=True)
]
glue("equal-agree", "agree" if all(agree) else "do not all agree", display=False)
frame("Exponents in n, for the n that both sets of runs have", shares.rename_axis("exponent of").astype(str))

# %% [markdown]
# The exponents {glue:text}`equal-agree` within their intervals. With equal classes the exponent of $\tau_\mathrm{mem}$
# is {glue:text}`equal-mem`, an interval that {glue:text}`equal-contains` the paper's 1.
#
# ```{admonition} What "good" means decides $\tau_\mathrm{gen}$
# :class: note
# The divergence does not stop falling at $\tau_\mathrm{gen}$. It continues to a level that is lower for larger $n$
# ({numref}`fig-mixture-n`), because more data teach the network more. A threshold that even the smallest
# training set can pass gives a time that depends only weakly on $n$. A stricter threshold can be passed only with more
# data, and gives a time that falls with $n$. A level of {glue:text}`good` nats of the score gap is mild. It must not be
# compared with the divergences of simple distributions, because while the divergence falls the score gap is far larger
# than the divergence of the samples themselves ([below](sec-kl)). The nearest-neighbour estimate measures the samples,
# and for it there is a scale: the divergence from $P_0$ is {glue:text}`landmark-normal` nats for a standard normal
# distribution, {glue:text}`landmark-mode` for one of the two modes alone, and {glue:text}`landmark-gaussian` for a
# Gaussian with the right mean and covariance. The table shows how much the choice of estimator and of level matters,
# and when samples become better than that Gaussian.
# ```

# %% tags=["remove-input"]
landmarks = estimate.landmarks(runs[0])
for name, nats in landmarks.items():
    glue(f"landmark-{name}", f"{nats:.2f}", display=False)
frame(
    "Exponents in n, for each level at which a time is read", estimate.exponents_by_level(runs, landmarks["gaussian"])
)

# %% [markdown]
# ## The threshold k
#
# Eq. 6 calls a sample a copy when $d_1/d_2 < k$, where $d_1$ and $d_2$ are its distances to the nearest and the second
# nearest training point. Does its value change the scaling?

# %% mystnb={"figure": {"caption": "Memorised fraction against training time divided by $n$, for three thresholds $k$ (mean over seeds). Dashed: the largest share of unseen data that meet the criterion by chance.", "name": "fig-mixture-k"}, "image": {"alt": "Three panels for k of one quarter, one third and one half. In each, the curves for all n coincide."}} tags=["remove-input"]
figure, table = thresholds(runs, fresh)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "mixture-k")

# %% tags=["remove-input"]
names = {"k = 1/4": "f_mem_1/4", "k = 1/3": "f_mem", "k = 1/2": "f_mem_1/2"}
by_k = {k: scaling.tau_mem_exponent("mixture-n", metric) for k, metric in names.items()}
glue("fresh-most", f"{fresh['1/3'].max():.2%}", display=False)
glue("fresh-half", f"{fresh['1/2'].max():.1%}", display=False)
estimates("Exponent of tau_mem in n", by_k)

# %% [markdown]
# Even unseen data meet the criterion now and then, by chance. Of new draws from the mixture at most
# {glue:text}`fresh-most` do so at $k = 1/3$, and {glue:text}`fresh-half` at $k = 1/2$, for any of these training sets.
# These shares are the baseline of $f_\mathrm{mem}$, and the level at which $\tau_\mathrm{mem}$ is read lies far above
# them.

# %% [markdown]
# ## Watch one run
#
# The eight dimensions are reduced to two: one along the line that joins the two centres, and one across it. The figure
# shows three times, and the slider below it all of them. At first the samples look nothing like the data. Then the
# cloud has the right shape, and no sample sits on a training point. Finally, the samples jump onto training points, one
# by one.

# %% mystnb={"figure": {"caption": "Samples of one run with the smallest $n$, before, within and after the window. A dot that a line joins to a training point is a memorised sample, and that point is what it copies.", "name": "fig-mixture-samples"}, "image": {"alt": "Three scatter plots. In the first and second no sample is marked as a copy; in the third most are."}} tags=["remove-input"]
example = min(runs, key=lambda r: (r.config["n"], r.config["seed"]))
(gen,), (mem,) = estimate.tau_gen([example]), scaling.tau_mem([example])
milestones = example.samples["step"]
wanted = [gen.tau / 3, (gen.tau * mem.tau) ** 0.5, milestones[-1]]  # before, within and after the window
steps = [int(milestones[abs(milestones / tau - 1).argmin()]) for tau in wanted]
figure, table = draw.three_times(example, steps)
plt.show()

# %% tags=["remove-input"]
record([example], table, "mixture-samples")

# %% tags=["remove-input"]
show(
    draw.time_scrubber(example),
    "mixture-scrubber",
    "Slider over training time: samples in two dimensions with the training points they copy, and below them the "
    "divergence and the memorised fraction with a marker at the chosen time.",
    height=720,
)

# %% tags=["remove-input"]
record([example], example.curves, "mixture-scrubber")

# %% [markdown]
# (sec-kl)=
# ## Three ways to measure the divergence
#
# A diffusion model has a score but no density, so $\mathrm{KL}(P_\mathrm{gen}\|P_0)$ needs a detour.
#
# **The paper's way** (Eqs. 25-28). The entropy of the distribution $P_t$ obeys $\dot H = \mathbb E|s(x_t, t)|^2 - d$
# along the forward process. Insert the model's own score for $s$ and noised samples of the model for $x_t$, and
# integrate from a Gaussian at a large time $t_\mathrm{max}$:
#
# ```{math}
# :label: eq-kl-paper
# \begin{aligned}
# \mathrm{KL} = {}& \int_0^{t_\mathrm{max}} \left(\mathbb E |s_\theta(x_t, t)|^2 - d\right) dt \\
# & - \tfrac d2 \log 2\pi e - \mathbb E_\mathrm{gen} \log P_0(x) .
# \end{aligned}
# ```
#
# **The score gap.** Where the exact score is known, de Bruijn's identity for two distributions under the same process
# gives
#
# ```{math}
# :label: eq-kl-gap
# \mathrm{KL} = \int_0^{t_\mathrm{max}} \mathbb E_\mathrm{gen} \left| s_\theta(x_t, t) - \nabla\log P_t(x_t)\right|^2 dt .
# ```
#
# Both assume that the model's score is the score of the distribution that it generates. {eq}`eq-kl-paper` is first
# order in the error of $s_\theta$, so it fluctuates with every step of SGD and can be negative. {eq}`eq-kl-gap` is
# second order and never negative. If its expectation were taken along the sampler's own path instead of over noised
# samples, it would be Girsanov's upper bound on the divergence. The third way, **nearest neighbours**
# {cite:p}`wang2009`, uses no score at all.

# %% mystnb={"figure": {"caption": "The three estimates along the runs at the largest $n$ for which every seed has memorised; bands as above.", "name": "fig-mixture-kl"}, "image": {"alt": "Three curves of the divergence against training time. All rise at the same time; while they fall the score gap lies far above nearest neighbours, and the paper's estimator scatters widely."}} tags=["remove-input"]
chosen = estimate.largest_n(runs)
neighbours = estimate.neighbour_metric(runs)
above = [(r.curve("kl_fisher")["value"] > r.curve(neighbours)["value"]).mean() for r in runs]
glue("above", f"{sum(above) / len(above):.0%}", display=False)
for name, metric, digits in (("gap", "kl_fisher", 0), ("neighbours", neighbours, 1)):
    start = [r.curve(metric)["value"].iloc[0] for r in chosen]
    glue(f"start-{name}", f"{sum(start) / len(start):,.{digits}f}", display=False)
glue("start", f"{chosen[0].curve('f_mem').index[0]}", display=False)
figure, table = draw.three_divergences(chosen)
plt.show()

# %% tags=["remove-input"]
record(chosen, table, "mixture-kl")

# %% [markdown]
# All three rise again together when copies come. While they fall, they differ. At step {glue:text}`start` the score gap
# is {glue:text}`start-gap` nats and the nearest-neighbour estimate is {glue:text}`start-neighbours`. The score gap
# counts errors of the score at all noised samples, whether or not the sampler's own path meets them. It lies above the
# nearest-neighbour estimate at {glue:text}`above` of the milestones of the runs with $W = 128$. So a time that is
# defined by the score gap is the time at which the *score* has become good. The first two estimates are means of
# squares, which a single sample far away can dominate. The peak of $W = 32$ in [the figure of the
# widths](fig-mixture-width) is an example: it comes from one milestone of one run, where the interval of the score gap
# reaches below zero and the nearest neighbours see nothing unusual.
#
# ## Does the divergence come down to zero?
#
# The paper says that the divergence falls to about zero between the two times. The nearest-neighbour estimate agrees:
# it is {glue:text}`least-neighbours` nats at $n$ = {glue:text}`window-n`. But this estimate compares two sets of
# samples. In tests on pairs of distributions whose divergence is known, it comes out too low or too high
# ([](deviations)), whereas the score gap comes out right. So how small does the score gap become? The figure has all
# runs, up to {glue:text}`least-largest` points.

# %% mystnb={"figure": {"caption": "The smallest score gap of every run over training time, against $n$, with its 95% interval, and the fitted power of $n$.", "name": "fig-mixture-least"}, "image": {"alt": "Points on a falling straight line in logarithmic axes: from more than one and a half nats at the smallest n to less than a fifth of a nat at the largest."}} tags=["remove-input"]
further = estimate.to_the_minimum()
figure, table = draw.smallest(further)
plt.show()

# %% tags=["remove-input"]
record(further, table, "mixture-least")

# %% tags=["remove-input"]
least, gap = estimate.smallest_kl_exponent(), estimate.smallest_kl()
smallest = estimate.smallest_by_n(further)
largest = int(smallest["n"].max())
below = smallest[smallest["n"] < largest]
fits = {name: exponent(part["n"], part["kl"]) for name, part in (("all", smallest), ("below", below))}
margin = next(c.highest for c in claims.load(chapter="mixture") if c.id == "gmm-kl-falls-to-zero")
glue("least-exponent", str(least), display=False)
glue("least-margin", f"{margin:g}", display=False)
glue("least-n", f"{(margin / fits['all'].prefactor) ** (1 / fits['all'].value):,.0f}", display=False)
glue("least-gap", str(gap), display=False)
glue("least-largest", f"{largest:,}", display=False)
glue("least-below", f"{below['n'].max():,}", display=False)
glue("least-foretold", f"{fits['below'].prefactor * largest ** fits['below'].value:.3f}", display=False)
glue("least-paper", f"{fits['all'].prefactor * 4096 ** fits['all'].value:.3f}", display=False)
glue("least-neighbours", str(estimate.kl_at_smallest("kl_knn")), display=False)

# %% [markdown]
# The smallest divergence falls as a power of $n$, with the exponent {glue:text}`least-exponent`. From the runs up to
# $n$ = {glue:text}`least-below`, the power law predicts {glue:text}`least-foretold` nats at $n$ =
# {glue:text}`least-largest`, and {glue:text}`least-gap` was measured. According to the power law fitted to all runs,
# the divergence falls to {glue:text}`least-margin` nats, the value that the claim counts as about zero, at $n$ =
# {glue:text}`least-n`. At the paper's largest $n$, 4096, it is {glue:text}`least-paper` nats. The divergence that
# remains at the best time to stop is the price of a finite training set.
#
# We use the score gap for the times and for this claim, because it varies smoothly and is nearly exact once the score
# is good. The nearest-neighbour estimate is shown for comparison.
#
# ## What differs from the paper
#
# - **Size.** The paper goes to $n = 4096$ and 4 million steps with 10,000 samples a milestone, on a GPU. These runs
#   have $n$ = {glue:text}`n-first` to {glue:text}`n-last`, up to {glue:text}`seeds` seeds, and {glue:text}`samples`
#   samples at each milestone. Together they took {glue:text}`hours` hours of one CPU core.
# - **Last sampling step.** Euler-Maruyama ends with the mean $\mathbb E[x_0|x_{t_1}]$ at the first diffusion time $t_1
#   = 1.1\cdot 10^{-4}$, so that no fresh noise remains on the samples.
# - **The divergence** that defines $\tau_\mathrm{gen}$ is {eq}`eq-kl-gap`, not {eq}`eq-kl-paper`, for the reason above.
# - **Width.** The paper does not say at which $n$ the right panel of its Fig. 9 was made; ours are at $n = 64$ and $n =
#   256$.
#
# ## Claims

# %% tags=["remove-input"]
claims.show(claims.load(chapter="mixture"))

# %% [markdown]
# [](claims.ipynb) has the same rows with their estimators and runs, and those of all other chapters;
# [](deviations) lists every choice that the paper leaves open.
#
# **Next.** [The width of the network](mixture-width.ipynb) asks how much sooner a wider network learns, and copies.
