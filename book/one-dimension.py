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
# # Two times in one dimension
#
# **What you will see.** In one dimension a score is a curve, so one can draw what a network learns, and when. It first
# learns the score of the distribution that the data came from. Much later, it learns the score of the data points
# themselves. This is the left part of Fig. 1 of {cite:t}`bonnaire2025`, from a real training run.
#
# **You need** only calculus. ([](notation.md) lists all symbols of this book.) **Reading time**: five minutes.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
from myst_nb import glue

from diffmemlib.companion.figures import one_dimension as draw
from diffmemlib.companion.figures.interactive import show
from diffmemlib.companion.figures.record import record
from diffmemlib.companion.sweeps.tables import sweep_results

(run,) = sweep_results("one-dimension")
population, training = (run.curve(m)["value"] for m in ("gap_population", "gap_empirical"))
best, last = int(population.idxmin()), int(population.index[-1])
first, variation = int(population.index[3]), draw.total_variation(run)
between = int(variation.idxmin())  # what it generates is then nearest to the population
glue("n", run.config["n"], display=False)
glue("width", run.config["width"], display=False)
glue("draws", run.config["draws"], display=False)
glue("mu", f"{run.config['mu']:g}", display=False)
glue("t", f"{run.config['t']:g}", display=False)
glue("best", f"{best:,}", display=False)
glue("between", f"{between:,}", display=False)
glue("best-error", f"{population[best]:.3f}", display=False)
glue("last", f"{last:,}", display=False)
nothing = draw.of_nothing(run)
glue("none-population", f"{nothing['gap_population']:.3f}", display=False)
glue("none-training", f"{nothing['gap_empirical']:.2f}", display=False)
below = population.index[population < nothing["gap_population"]]
glue("learned-from", f"{below[0]:,}", display=False)
glue("learned-to", f"{below[-1]:,}", display=False)
for name, step in (("first", first), ("between", between), ("last", last)):
    glue(f"variation-{name}", f"{variation[step]:.2f}", display=False)
glue("variation-chance", f"{draw.variation_by_chance(run):.2f}", display=False)
glue("samples", f"{run.config['samples']:,}", display=False)
glue("last-error", f"{training[last]:.3f}", display=False)
glue("last-population", f"{population[last]:.2f}", display=False)

# %% [markdown]
# ## Two scores for one data set
#
# A diffusion model gradually replaces a data point $x_0$ by noise. At diffusion time $t$ the point has become $x_t =
# e^{-t} x_0 + \sqrt{\Delta_t}\,\xi$, where $\xi$ is standard Gaussian noise and $\Delta_t = 1 - e^{-2t}$. Let $P_t$ be
# the density of $x_t$. The gradient of its logarithm, $\nabla\log P_t$, is called the score. The model learns it in
# order to run the process backwards, from noise to data. But which $P_t$? There are two candidates:
#
# - the **population's** score, which belongs to the noised version of the distribution $P_0$ that the data were drawn
#   from. Following it backwards gives new samples of $P_0$;
# - the **training set's** score, which belongs to the noised version of the $n$ training points $x^1, \dots, x^n$
#   themselves. It minimises the training loss, and is known in closed form (Eq. 5 of the paper),
#
# ```{math}
# :label: eq-empirical-score
# \begin{aligned}
# s_\mathrm{emp}(x, t) &= \frac{1}{\Delta_t} \sum_{\nu=1}^n w_\nu\, (e^{-t} x^\nu - x), \\
# w_\nu &\propto \exp\left(-\frac{|x - e^{-t} x^\nu|^2}{2 \Delta_t}\right) .
# \end{aligned}
# ```
#
# Following this second score backwards gives copies of the training points, and nothing else.
#
# The first score is smooth. The second swings from one training point to the next, and swings more wildly for smaller
# $t$. Here $P_0$ is an equal mixture of two Gaussians at $\pm${glue:text}`mu`, and we look at $t$ = {glue:text}`t`. A
# residual network of width $W$ = {glue:text}`width` is trained by Adam on $n$ = {glue:text}`n` points. Every step uses
# all points, with {glue:text}`draws` noises for each of them. The network predicts the noise $\xi$ in $x_t$; its
# prediction divided by $-\sqrt{\Delta_t}$ is the learned score.
#
# ## Early, between, late

# %% mystnb={"figure": {"caption": "The network at three training times. Top: the learned score (without colour), the score of the population (blue) and that of the training set (orange). Bottom: histogram of what the network generates, against the density of the population (blue); ticks mark the training points.", "name": "fig-one-dimension"}, "image": {"alt": "Three columns. Early, the learned score is far from both. Between, it follows the smooth score of the population, and the generated histogram follows its density. Late, it follows every swing of the training set's score, and the histogram has spikes on single training points and heaps where several lie close together."}} tags=["remove-input"]
figure, table = draw.three_scores(run, [first, between, last], ["early", "between", "late"])
plt.show()

# %% tags=["remove-input"]
record([run], table, "one-dimension")

# %% [markdown]
# Early, the learned score resembles neither of the two. The second time is step {glue:text}`between`, where the
# generated histogram is nearest to the population. At that step the network has not yet learned the swings of its own
# training set: its score follows that of the population, and the points that it generates are new. Late, at step
# {glue:text}`last`, it follows every swing, and generates training points. How near is the histogram to the population?
# We measure this by the distance in total variation: the share of samples that would have to be moved to make the two
# agree. It is {glue:text}`variation-first` at the first of the three times, {glue:text}`variation-between` at the
# second and {glue:text}`variation-last` at the third. Even {glue:text}`samples` samples drawn from the population
# itself would be at a distance of {glue:text}`variation-chance`, by chance.
#
# ## Move through the training

# %% tags=["remove-input"]
show(
    draw.time_scrubber(run, between),
    "one-dimension-scrubber",
    "Slider over training time: above, the learned score beside the score of the population and of the training set; "
    "below, the density of generated samples beside the density of the population, with the training points.",
)

# %% tags=["remove-input"]
record([run], run.curves, "one-dimension-scrubber")

# %% [markdown]
# ## The same in two numbers
#
# How far is the learned score from each of the two? Let $s$ be the learned score and $s'$ one of the two others. We
# measure the mean of $\Delta_t\,|s - s'|^2$. For the score of the population, the mean is over noised new points of the
# population; for that of the training set, it is over noised training points. For comparison, a network that always
# predicts zero noise, and so has the score zero, has the error {glue:text}`none-population` against the population and
# {glue:text}`none-training` against the training set. The dotted lines mark these two values. Where a curve lies below
# its dotted line, the network has learned something.

# %% mystnb={"figure": {"caption": "Error of the learned score against the score of the population and against the score of the training set. Dotted: the same errors of a network that predicts no noise. Bands: 95% intervals.", "name": "fig-one-dimension-errors"}, "image": {"alt": "The error to the population falls early, is below its dotted line for a while, then rises far above it. The error to the training set falls a little early, and much later to nearly nothing."}} tags=["remove-input"]
figure, table = draw.two_gaps(run)
plt.show()

# %% tags=["remove-input"]
record([run], table, "one-dimension-errors")

# %% [markdown]
# The error against the population is smallest at step {glue:text}`best`, where it is {glue:text}`best-error`. This is
# earlier than the second time in the figure above, because a sample depends on the score at all $t$, while this error
# depends only on the score at $t$ = {glue:text}`t`. At the end it is {glue:text}`last-population`, while the error
# against the training set has fallen to {glue:text}`last-error`. From step {glue:text}`learned-from` to
# {glue:text}`learned-to` the error against the population (blue) is below its dotted line, and for most of this time
# the error against the training set stays far above its final value. This is the window in which the model has learned
# the distribution but not yet the points. The rest of this book is about that window: how it widens with $n$
# ([](mixture)), and where it comes from.
#
# **Next.** [The Gaussian mixture](mixture.ipynb) asks how the two times depend on $n$, with a distribution that is
# known exactly.
