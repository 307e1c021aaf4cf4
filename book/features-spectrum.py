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
# # Random features: the spectrum
#
# **What you will see.** Both times of training are set by edges of one spectrum, that of the matrix $U$ of [the
# model](features-dynamics). In high dimension two equations determine it. This page derives them in a few lines, solves
# them together with a check that the solution is the right one, and compares the result with the eigenvalues of actual
# tanh features at finite dimension, as in Figs. 4 and 14 of {cite:t}`bonnaire2025`.
#
# **You need** the model of the last page, and to know what a resolvent is. **Reading time**: ten minutes.

# %% tags=["remove-input"]
import json

import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

from diffmemlib.companion import claims
from diffmemlib.companion.figures import rfnn_spectrum as draw
from diffmemlib.companion.figures.interactive import show
from diffmemlib.companion.figures.record import record, record_live
from diffmemlib.companion.figures.tables import frame
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.places import checkout
from diffmemlib.rfnn.spectrum import spectrum

grid = json.loads((checkout() / "book" / "measured" / "theory-grid.json").read_text())
glue("grid-points", grid["points"], display=False)
glue("grid-refused", len(grid["refused"]), display=False)
for name in ("psi", "t"):
    low, high = grid["ratios" if name == "psi" else "times"]
    glue(f"grid-{name}", f"{low:g} to {high:g}", display=False)
for name in ("masses", "losses"):
    glue(f"grid-{name}", f"{grid[name]:.1g}", display=False)

# %% [markdown]
# ## From tanh to Gaussians
#
# In high dimension a feature of noised data behaves like a sum of four independent parts: one linear in the data, with
# coefficient $a$; one linear in the noise, with $b$; one nonlinear in the data and the same for every noise of a point,
# with $v$; and a remainder that changes with the noise, with $s$. Let $u$, $\zeta$ and $\zeta'$ be independent standard
# normal variables, $\sigma_x^2$ the mean variance of the data, and $y = e^{-t}\sigma_x u + \sqrt{\Delta_t}\, \zeta$.
# These coefficients are
#
# ```{math}
# :label: eq-rf-coefficients
# \begin{aligned}
# a &= \frac{\mathbb E[u\,\sigma(y)]}{e^{-t}\sigma_x}, \qquad b = \mathbb E[\zeta\,\sigma(y)], \\
# v^2 &= \mathbb E[\sigma(y)\sigma(y')] - a^2 e^{-2t}\sigma_x^2, \\
# s^2 &= \mathbb E[\sigma(y)^2] - a^2e^{-2t}\sigma_x^2 - v^2 - b^2 ,
# \end{aligned}
# ```
#
# where $y'$ is $y$ with $\zeta'$ in place of $\zeta$. Write $Y = W/\sqrt d$, $\alpha = a^2e^{-2t}$ and $\omega_\nu$ for
# a standard normal vector of each point. After the average over noise,
#
# ```{math}
# :label: eq-rf-gaussian
# U \simeq s^2 I + b^2\, Y Y^T + \frac1n\sum_\nu g_\nu g_\nu^T, \qquad
# g_\nu = \sqrt\alpha\, Y x_\nu + v\,\omega_\nu .
# ```
#
# ## Two equations, by leaving one out twice
#
# We want $q(z) = \mathrm{Tr} R/p$ and $r(z) = \mathrm{Tr}(R\, Y\Sigma Y^T)/p$ for the resolvent $R = (U - z)^{-1}$.
#
# **Leave out a point.** By the Sherman-Morrison formula, $R g_\nu = R_{-\nu} g_\nu/(1 + g_\nu^T R_{-\nu} g_\nu/n)$, and
# since $g_\nu$ is independent of $R_{-\nu}$ the quadratic form concentrates on its mean,
#
# ```{math}
# :label: eq-rf-D
# D = 1 + \tfrac1n \mathrm{Tr}\, R\,(\alpha Y\Sigma Y^T + v^2) = 1 + \tfrac{\psi_p}{\psi_n}(\alpha r + v^2 q) .
# ```
#
# The sum over points therefore acts as its mean divided by $D$, and what remains is random in $W$ only,
#
# ```{math}
# R \simeq \big( c\, I + Y S\, Y^T \big)^{-1}, \quad c = s^2 - z + \frac{v^2}{D}, \quad S = b^2 I + \frac{\alpha}{D}\Sigma .
# ```
#
# **Leave out a feature.** Row $y$ of $Y$ is independent of the others. The Schur complement of its diagonal entry is
# $1/R_{ii} = c + y^T M y$ with $M = S - S Y^T (cI + YSY^T)^{-1} Y S = (S^{-1} + Y^TY/c)^{-1}$, and $y^TMy$ concentrates on
# $\mathrm{Tr} M/d$: hence $1/q = c + \mathrm{Tr}M/d$. In $M$ the sum $Y^TY = \sum_i y_iy_i^T$ is again one of independent
# terms; leaving one out divides each by $1 + y^TMy/c = 1/(cq)$, so that $M = (S^{-1} + \psi_p q)^{-1}$. In the
# eigenbasis of $\Sigma$ (values $\lambda_k$, weights $w_k$), with $S_k = b^2 + \alpha\lambda_k/D$,
#
# ```{math}
# :label: eq-rf-q
# \begin{aligned}
# \frac1q &= s^2 - z + \frac{v^2}{D} + \sum_k \frac{w_k S_k}{1 + \psi_p q S_k}, \\
# r &= \sum_k \frac{w_k\lambda_k\, q}{1 + \psi_p q S_k} ,
# \end{aligned}
# ```
#
# the second from $Y^TRY = S^{-1} - S^{-1}MS^{-1}$. These are the equations of Theorem 3.1 of {cite:t}`bonnaire2025` in
# a shorter form. The density is $\rho(\lambda) = \mathrm{Im}\, q(\lambda + i0)/\pi$.
#
# **Which solution?** There are several. The library starts far above the real axis, where $q = -1/z$, and follows the
# solution down by Newton's method for all $\lambda$ at once; it accepts a point only if both equations hold to
# $10^{-10}$ and both $\mathrm{Im}\,q$ and $\mathrm{Im}\,r$ are positive, which is true of the physical solution alone.
# It accepts a whole spectrum only if its masses sum to one.
#
# **How far does it hold?** `make simulations` tries the spectrum and the learning curves of [](score-error)
# at {glue:text}`grid-points` points spread evenly over $\log\psi_p$, $\log\psi_n$ (from {glue:text}`grid-psi`) and $\log t$
# (from {glue:text}`grid-t`). When it was last run, the library refused {glue:text}`grid-refused` of them. The masses
# summed to one within {glue:text}`grid-masses`, and the losses agreed with those on other contours with more nodes within
# {glue:text}`grid-losses`.
#
# ## Comparison with tanh features
#
# The limit replaces the features by Gaussian ones with the same moments, in infinitely high dimension. Do the
# eigenvalues of true tanh features at finite dimension agree with it?

# %% mystnb={"figure": {"caption": "Eigenvalues of $U$ of 6400 tanh features, $d = 100$, $\\psi_n = 8$, $t = 0.01$ (bars) and the limit (lines), for data of one variance (top) and of two (bottom). First panel: all eigenvalues except those of the delta, as a share per decade; the orange line marks the delta. The other two panels: the two bulks, as density per unit of $\\lambda$.", "name": "fig-rf-spectrum"}, "image": {"alt": "Histograms and lines agree in place and width; the middle bulk of the histogram is a little wider and lower than its line. First panels, log axis: a delta with a small bulk beside it, a bulk near 0.2 and one near 25. Second panel: the bulk of the training set, the same in both rows. Third panel: the bulk of the population, different in the two rows."}} tags=["remove-input"]
runs = sweep_results("rfnn-spectrum")
figure, table = draw.spectra(runs)
plt.show()

# %% tags=["remove-input"]
record(runs, table, "rf-spectrum")

# %% tags=["remove-input"]
edges = spectrum(psi_p=64, psi_n=8, t=0.01).rho_2
glue("rho2-low", f"{edges.low:.1f}", display=False)
glue("rho2-high", f"{edges.high:.1f}", display=False)
parts = []
for covariance, name in ((((1.0, 1.0),), "1"), (((0.5, 0.5), (1.5, 0.5)), "0.5 and 1.5")):
    whole = spectrum(psi_p=64, psi_n=8, t=0.01, covariance=covariance)
    delta, weight = whole.delta_place, whole.delta_weight
    parts.append((name, "delta", f"{delta:.4f}", f"{weight:.4f}", f"{64 * weight:.2f}"))
    for b in whole.bulks:
        parts.append((name, "bulk", f"{b.low:.4f} to {b.high:.4f}", f"{b.mass:.4f}", f"{64 * b.mass:.2f}"))
table = pd.DataFrame(parts, columns=["variances", "part", "eigenvalues", "mass", "mass times psi_p"])
frame("The spectrum in the limit", table.set_index(["variances", "part"]))

# %% [markdown]
# Read the spectrum from right to left, from fast to slow directions:
#
# - The bulk $\rho_2$, of mass $1/\psi_p$, belongs to the directions of the data space. For data of one variance it
#   extends from {glue:text}`rho2-low` to {glue:text}`rho2-high`. Its lower edge $\lambda$ sets $\tau_\mathrm{gen} =
#   \psi_p/(\Delta_t\lambda)$. It depends on the variances of the data (bottom row), and hardly on the number of data
#   points.
# - The bulk $\rho_1$ belongs to the training set. Its lower edge sets $\tau_\mathrm{mem}$ in the same way. At fixed
#   total variance it hardly depends on $\Sigma$.
# - Next to the delta lies a smaller bulk, again of mass $1/\psi_p$. Theorem 3.2 does not contain it, because the
#   theorem holds to leading order for $\psi_n \gg 1$, where this bulk merges with $\rho_1$. It comes from the noise
#   part $b^2YY^T$ of {eq}`eq-rf-gaussian` in the directions that the data leave free. These directions are the last in
#   which the training loss decreases, so overfitting continues beyond $\tau_\mathrm{mem}$.
# - The delta at $s^2$ belongs to the directions that no data point touches, in which nothing is learned.
#
# Move $\psi_n$ and watch the times:

# %% tags=["remove-input"]
figure = draw.spectrum_slider(64, (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96), 0.01, start=3)
show(
    figure,
    "spectrum-slider",
    "The density of eigenvalues of U above, and on a time axis below the two times that it predicts, for psi_n from 2 to 96. The time of memorisation moves with psi_n, that of generalisation hardly.",
)

# %% [markdown]
# ## Both regimes
#
# The paper calls the case of more features than data ($\psi_p > \psi_n$) regime I, and the case of fewer regime II. In
# regime II there is no delta, and $\rho_1$ holds all but $1/\psi_p$ of the eigenvalues and stays away from zero, so
# that no mode is slow. Such a model has too few parameters to memorise, however long it trains.

# %% mystnb={"figure": {"caption": "Eigenvalues of $U$ of four draws of tanh features, $d = 100$ (bars), and the limit (line), with more features than data (first panel) and fewer (second panel).", "name": "fig-rf-regimes"}, "image": {"alt": "Two histograms on log axes with the limit density over them. First panel: a delta, widened by finite dimension, and two bulks. Second panel: two bulks."}} tags=["remove-input"]
cases = [{"psi_p": 8, "psi_n": 3, "t": 0.1}, {"psi_p": 3, "psi_n": 8, "t": 0.1}]
figure, table = draw.small_spectra(cases)
plt.show()

# %% tags=["remove-input"]
record_live("diffmemlib.companion.figures.rfnn_spectrum.small_spectra(cases)", table, "rf-regimes")

# %% [markdown]
# The finite dimension is visible where many eigenvalues lie close together: the delta is widened, and the sharp edge of
# the dense bulk is smeared. The tests of this book let $d$ grow and check that the distance between histogram and limit
# falls.
#
# ## Claims

# %% tags=["remove-input"]
claims.show([c for c in claims.load(chapter="random features") if c.id.startswith("rfnn-rho")])

# %% [markdown]
# **Next.** [Exact learning curves](score-error.ipynb) uses the spectrum to compute every loss at every time, without
# training anything.
