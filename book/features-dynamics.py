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
# # Random features: the dynamics
#
# **What you will see.** This page presents a score network that is simple enough to be solved, and yet shows both
# times. Its whole training history follows from one eigendecomposition. Simulations at $d = 100$ lie close to the exact
# curves for infinite dimension, and these curves tell how large a data set must be before $\tau_\mathrm{mem}$ is
# proportional to it. It covers Figs. 5, 11 and 12 of {cite:t}`bonnaire2025`.
#
# **You need** the idea of [two times](mixture) and some linear algebra. **Reading time**: ten minutes.

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
import numpy as np
from myst_nb import glue

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import rfnn as estimate, rfnn_exponents as exponents
from diffmemlib.companion.figures import rfnn as draw
from diffmemlib.companion.figures.record import record, record_live
from diffmemlib.companion.figures.tables import estimates
from diffmemlib.companion.sweeps.tables import sweep_results

# %% [markdown]
# ## The model
#
# The score is a linear function of $p$ random features of $x \in \mathbb R^d$ (Eq. 7),
#
# ```{math}
# :label: eq-rf
# s_A(x) = \frac{A}{\sqrt p}\, \sigma\!\left(\frac{W x}{\sqrt d}\right), \qquad \sigma = \tanh,
# ```
#
# with $W$ drawn once and frozen, and $A$ trained from zero by gradient descent on the denoising loss of $n$ points at
# one diffusion time $t$. Features and points are counted in units of the dimension, $\psi_p = p/d$ and $\psi_n = n/d$.
# Time is $\tau = k\eta/d^2$ after $k$ steps of size $\eta$. The loss is quadratic in $A$, so everything follows from
# the matrix $U = \frac1n\sum_\nu \mathbb E_\xi[\phi\phi^T]$, where $\phi = \sigma(W x_t/\sqrt d)$ is the vector of
# features of a noised point $x_t$, and from $V = \frac1n\sum_\nu \mathbb E_\xi[\phi\,\xi^T]$. A mode of $U$ with
# eigenvalue $\lambda$ relaxes at the rate $2\Delta_t\lambda/\psi_p$: **small eigenvalues are slow**, and the slow ones
# are those of the training set. With $g(\lambda) = (e^{-2\Delta_t\lambda\tau/\psi_p} - 1)/\lambda$,
#
# ```{math}
# :label: eq-rf-losses
# \begin{aligned}
# L_\mathrm{train} &= 1 + \tfrac1d \mathrm{Tr}\, V^T (g U g + 2g) V, \\
# L_\mathrm{test} &= 1 + \tfrac1d \mathrm{Tr}\, (V^T g\, \tilde U g V + 2 \tilde V^T g V),
# \end{aligned}
# ```
#
# where $\tilde U, \tilde V$ belong to the population, and the distance to the exact score is
# $E_\mathrm{score} = (L_\mathrm{test} - 1)/\Delta_t + \tfrac1d\mathrm{Tr}\,\Sigma_t^{-1}$ for Gaussian data of covariance
# $\Sigma$, with $\Sigma_t = e^{-2t}\Sigma + \Delta_t$.
#
# ## No noise needs to be drawn
#
# Both matrices are averages over the noise $\xi$. The argument of feature $i$ at point $\nu$ is the sum of a fixed
# part, $h_i^\nu = e^{-t} w_i\cdot x^\nu/\sqrt d$, and of noise of variance $\Delta_t |w_i|^2/d$. Two features therefore
# need an average over two correlated Gaussians, whose correlation $r_{ij}$ is the cosine between $w_i$ and $w_j$.
# Mehler's formula turns this average into products of one-dimensional integrals $c_k = \mathbb E_\zeta[\sigma(h +
# \sqrt{\Delta_t}\,|w| \zeta/\sqrt d)\, \mathrm{He}_k(\zeta)]/\sqrt{k!}$ over a standard normal $\zeta$, with the
# Hermite polynomials $\mathrm{He}_k$:
#
# ```{math}
# :label: eq-rf-mehler
# \begin{aligned}
# U_{ij} &= \sum_k r_{ij}^k\, \frac1n \sum_\nu c_k(h_i^\nu)\, c_k(h_j^\nu) \quad (i \ne j), \\
# V_i &= \frac1n\sum_\nu c_1(h_i^\nu)\, \frac{w_i}{|w_i|} .
# \end{aligned}
# ```
#
# Correlations between random features are small, so a few terms are exact to ten digits. One eigendecomposition of $U$
# then gives the losses at every $\tau$, where gradient descent would take millions of steps.
#
# ## Two times, in simulation and in the limit
#
# In the figure, the points come from one draw of features and data in $d = 100$, with 6400 features. The lines are the
# [exact curves of the limit](score-error). Nothing is fitted.

# %% mystnb={"figure": {"caption": "Random features, $\\psi_p = 64$, $t = 0.1$, $d = 100$: exact dynamics of one draw (points) and the limit of large $d$ (lines). First panel: test loss (filled points, full lines) and training loss (open points, dashed lines). Second panel: distance to the exact score. Third panel: test minus training loss, against time in units of $\\tau_\\mathrm{mem} = \\psi_p/(\\Delta_t\\lambda)$, with $\\lambda$ the lower edge of the training set's bulk in the [spectrum](features-spectrum).", "name": "fig-rf-dynamics"}, "image": {"alt": "Points lie on the lines. Train and test loss fall together until tau near ten, then part, later for larger psi_n; in units of tau_mem the gaps rise together."}} tags=["remove-input"]
runs = sweep_results("rfnn-n")
figure, table = draw.dynamics(runs)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "rf-dynamics")

# %% [markdown]
# Up to $\tau$ of order ten the four training sets cannot be told apart: train and test loss fall together, and
# $E_\mathrm{score}$ falls by more than an order of magnitude. Then the losses separate, later for more data. The scale
# of this time is $\tau_\mathrm{mem} = \psi_p/(\Delta_t\lambda)$, where $\lambda$ is the lower edge of the part of the
# [spectrum](features-spectrum) that belongs to the training set. The gap is visible well before $\tau_\mathrm{mem}$.
#
# ## Other diffusion times, other variances
#
# A mode of eigenvalue $\lambda$ relaxes in a time $\psi_p/(2\Delta_t\lambda)$. The eigenvalues that carry the population
# depend little on $t$, so the time in which the score is learned should scale as $1/\Delta_t$:

# %% mystnb={"figure": {"caption": "Score error relative to its start for several diffusion times, $d = 50$ (points) and limit (lines), $\\psi_n = 4$ (full) and 16 (dashed). Second panel: against $\\Delta_t\\tau$.", "name": "fig-rf-times"}, "image": {"alt": "First panel: curves of t = 0.01, 0.1 and 0.5 fall at different times. Second panel: against Delta_t tau their first fall lies on one curve."}} tags=["remove-input"]
by_time = sweep_results("rfnn-times")
figure, table = draw.times_of_diffusion(by_time)
plt.show()

# %% tags=["remove-input"]
record(by_time, table, "rf-times")

# %% [markdown]
# Does the prediction of $\tau_\mathrm{mem}$ hold for data of other variances as well?

# %% mystnb={"figure": {"caption": "Data of variance 0.5 and 2, $t = 0.1$, $d = 50$ (points) and limit (lines), $\\psi_n = 4$ (full) and 16 (dashed). First panel: score error. Second panel: gap between test and train loss, against time in units of the predicted $\\tau_\\mathrm{mem}$.", "name": "fig-rf-variance"}, "image": {"alt": "First panel: for both variances the score error falls near tau of order ten and rises later. Second panel: for each variance the gaps of psi_n = 4 and 16 rise at the predicted time."}} tags=["remove-input"]
by_variance = sweep_results("rfnn-variance")
figure, table = draw.variances(by_variance)
plt.show()

# %% tags=["remove-input"]
record(by_variance, table, "rf-variance")

# %% tags=["remove-input"]
delta, of_n, mem, limit = (
    f() for f in (estimate.tau_gen_delta, estimate.tau_gen_n, estimate.tau_mem_simulated, estimate.tau_mem_limit)
)
for name, e in {"gen-delta": delta, "gen-n": of_n, "mem-range": mem, "mem-limit": limit}.items():
    glue(name, str(e), display=False)
shown = {
    "E_score has halved, in Delta_t": delta,
    "E_score has halved, in psi_n": of_n,
    f"L_gen = {estimate.GAP:g}, in psi_n, simulated": mem,
    f"L_gen = {estimate.GAP:g}, in psi_n, limit, 1 << psi_n << psi_p": limit,
}
estimates("Exponents of times", shown)

# %% [markdown]
# The time at which $E_\mathrm{score}$ has halved has the exponent {glue:text}`gen-delta` in $\Delta_t$, where $-1$ was
# expected, and {glue:text}`gen-n` in $\psi_n$. For both variances the gap rises at nearly the same
# $\tau/\tau_\mathrm{mem}$.
#
# ## When is the time of memorisation proportional to n?
#
# The paper derives $\tau_\mathrm{mem} \propto \psi_n$ from the edge of the spectrum for $1 \ll \psi_n \ll \psi_p$. How
# large must the two ratios be? The figure shows the exact time at which the losses differ by a given amount, over a far
# wider range than can be simulated:

# %% mystnb={"figure": {"caption": "Time at which test and train loss differ by 0.05, 0.1 or 0.3, and its local exponent in $\\psi_n$, $t = 0.1$, in the limit. Shaded: $\\psi_n$ from 4 to 32, as simulated above and in the paper. The dashed line is proportionality.", "name": "fig-rf-overfitting"}, "image": {"alt": "The local exponent is well above one in the shaded range for every level, and tends to one for large psi_n when psi_p is 65536; for psi_p = 64 it rises again as psi_n approaches psi_p."}} tags=["remove-input"]
psi_n = np.geomspace(2, 1024, 19)
figure, table = draw.overfitting_times((64, 65536), psi_n, 0.1, (0.05, 0.1, 0.3), (4, 32))
figure.set_dpi(70)  # the notebook has room for no more
plt.show()

# %% tags=["remove-input"]
record_live(
    "diffmemlib.companion.figures.rfnn.overfitting_times((64, 65536), psi_n, 0.1, (0.05, 0.1, 0.3), (4, 32))",
    table,
    "rf-overfitting",
)

# %% [markdown]
# Proportionality holds where it was derived. With enough features the local exponent tends to one
# ({glue:text}`mem-limit` for $\psi_n$ from 64 to 512 at $\psi_p = 65536$). In the range that was simulated, $\psi_n = 4
# \ldots 32$ at $\psi_p = 64$, it does not hold yet: there the exponent is {glue:text}`mem-range`. There are two
# reasons. With few data, even the fast modes contribute to the gap between the losses, because the training set
# misjudges the population itself. And as $\psi_n$ approaches $\psi_p$, the network runs out of capacity, and the gap
# grows ever more slowly. In both cases the time grows faster than in proportion to $\psi_n$.
#
# A fixed level of the gap is perhaps not the fairest definition of the time. With more data the final gap is smaller,
# so the same level is a larger share of it. The paper itself defines $\tau_\mathrm{mem}$ by the lower edge of the bulk of
# the training set, $\psi_p/(\Delta_t\lambda)$, and says that the curves of the loss collapse when time is divided by
# it. Do they? Take the time at which the gap is half of what it is at the end of training, in units of
# $\tau_\mathrm{mem}$. If the curves collapse, it is the same for all $\psi_n$.

# %% mystnb={"figure": {"caption": "The time of memorisation in the limit, for $\\psi_n$ from 4 to 32, against the number of features. First panel: its exponent in $\\psi_n$ by three definitions; full lines $t = 0.1$, dotted $t = 0.01$. Second panel: the time at which the gap reaches half of its final value, in units of the inverse edge; shown is the ratio of the largest to the smallest of these times, and 1 means that the curves collapse.", "name": "fig-rf-definitions"}, "image": {"alt": "First panel: at few features the three exponents lie between 0.5 and 1.8 and disagree; with more features the edge and the half of the gap come to 1, and the fixed level stays near 1.2. Second panel: the factor falls from about four, and from eight at the smaller t, to nearly one."}} tags=["remove-input"]
by_definition = {t: exponents.exponents((64.0, 256.0, 1024.0, 4096.0, 16384.0), t=t) for t in (0.1, 0.01)}
figure, table = draw.definitions(by_definition)
figure.set_dpi(70)  # the notebook has room for no more
plt.show()

# %% tags=["remove-input"]
record_live(
    "diffmemlib.companion.estimators.rfnn_exponents.exponents((64, 256, 1024, 4096, 16384), t=t)",
    table,
    "rf-definitions",
)

# %% tags=["remove-input"]
few, many = by_definition[0.1].iloc[0], by_definition[0.1].iloc[-1]
for name in ("edge", f"{estimate.GAP:g}", "50%"):
    glue(f"mem-by-{name}", f"{few[name]:.2f}", display=False)
    glue(f"mem-by-{name}-many", f"{many[name]:.2f}", display=False)
glue("mem-gap-first", f"{few['gap at first']:.2f}", display=False)
glue("mem-gap-last", f"{few['gap at last']:.2f}", display=False)
glue("mem-factor", f"{few['factor']:.1f}", display=False)
glue("mem-factor-many", f"{many['factor']:.2f}", display=False)

# %% [markdown]
# At $\psi_p = 64$, where the paper simulates, the definitions disagree: the edge gives {glue:text}`mem-by-edge`, the
# fixed level of 0.3 {glue:text}`mem-by-0.3`, and half of the final gap {glue:text}`mem-by-50%`. The reason is that the
# final gap falls from {glue:text}`mem-gap-first` to {glue:text}`mem-gap-last` over these $\psi_n$. In units of the
# inverse edge, the time at which the gap reaches half of its final value varies by a factor of {glue:text}`mem-factor`.
#
# With more features, the edge and the share of the gap come to agree. At the largest $\psi_p$ of the figure the edge
# gives {glue:text}`mem-by-edge-many` and half of the gap {glue:text}`mem-by-50%-many`, and the times vary only by a
# factor of {glue:text}`mem-factor-many`. The fixed level gives {glue:text}`mem-by-0.3-many` and agrees with the others
# only at larger $\psi_n$, as {numref}`fig-rf-overfitting` shows. So $\tau_\mathrm{mem} \propto \psi_n$, and the collapse
# with it, are statements about $1 \ll \psi_n \ll \psi_p$, as they were derived.
#
# ## The plane of data and features
#
# If training is stopped at a given time, which models overfit? The figure shows the gap $L_\mathrm{gen} =
# L_\mathrm{test} - L_\mathrm{train}$ over the plane of $\psi_n$ and $\psi_p$:

# %% mystnb={"figure": {"caption": "Gap between test and train loss, in the limit, $t = 0.1$, after two training times. White: the gap is 0.1. Left of it the model overfits.", "name": "fig-rf-map"}, "image": {"alt": "Two heat maps over psi_n and psi_p. At the later time the region of large gap has moved to larger psi_n, where there are features enough."}} tags=["remove-input"]
psi = np.geomspace(1, 128, 11)
figure, table = draw.gap_map(psi, 0.1, (1e3, 1e4), 0.1)
figure.set_dpi(60)
plt.show()

# %% tags=["remove-input"]
record_live("diffmemlib.companion.figures.rfnn.gap_map(psi, 0.1, (1e3, 1e4), 0.1)", table, "rf-map")

# %% [markdown]
# At the earlier time, the boundary becomes vertical where there are many features: adding more of them does no harm,
# only more training time does. That is the implicit regularisation of early stopping. At the later time, the boundary
# follows the diagonal, where only the limited number of features prevents overfitting.
#
# ## Claims

# %% tags=["remove-input"]
claims.show([c for c in claims.load(chapter="random features") if c.id.startswith(("rfnn-tau", "rfnn-collapse"))])

# %% [markdown]
# **Next.** [The spectrum](features-spectrum.ipynb) shows the matrix that sets the two times, and why its eigenvalues
# form two groups.
